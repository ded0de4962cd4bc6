"""The training loop over one task: steps, schedule, epoch averages, state for a checkpoint."""

import inspect
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dermssl import distributed
from dermssl.data.augment import TwoViews
from dermssl.data.jigsaw import JigsawViews
from dermssl.data.loader import Loader
from dermssl.devices import autocast
from dermssl.errors import DermsslError
from dermssl.pretraining.config import PretrainConfig
from dermssl.pretraining.graphs import CapturedStep, Recorder
from dermssl.pretraining.optimizer import create_optimizer, create_scheduler, load_optimizer
from dermssl.pretraining.tally import Diverged, Tally

LOGGER = logging.getLogger("dermssl")

# On CUDA reading a loss waits for the device: often enough for a progress bar, rarely enough to cost nothing.
READ_EVERY = 20


class Trainer:
    """A task being trained on a loader's batches.

    Args:
        config: of the run.
        task: one of ``dermssl.methods``, on its device.
        loader: batches of uint8 images.
        views: makes the task's input and target of a batch; its generator is the run's source of randomness.
        lr, warmup_epochs: as resolved for this run.
        dtype: of autocast.
    """

    def __init__(
        self,
        config: PretrainConfig,
        task: Any,
        loader: Loader,
        views: TwoViews | JigsawViews,
        *,
        lr: float,
        warmup_epochs: float,
        dtype: torch.dtype,
    ) -> None:
        self.config, self.task, self.loader, self.views = config, task, loader, views
        self.device, self.dtype = loader.device, dtype
        self._names_index = "index" in inspect.signature(task.forward).parameters
        self.total_steps = config.epochs * len(loader)
        self.optimizer = create_optimizer(config, task, lr, loader.device)
        self.scheduler = create_scheduler(config, self.optimizer, warmup_epochs, len(loader))
        self.scaler = self._new_scaler()
        self.step = 0  # updates made so far, in all epochs
        self.lr = lr  # of the last update
        self.epoch_seconds = 0.0
        self.tally = Tally(task.logs, loader.device)
        self.captured: CapturedStep | None = None

    def capture(self, recorder: Recorder) -> None:
        """Make the updates from a recording, but for the first ones."""
        self.captured = CapturedStep(
            self._update, self.task, self.optimizer, self.views.generator, self._changing, self._mend_scaler, recorder
        )

    def _changing(self) -> dict[str, list[Tensor]]:
        """All tensors that an update changes."""
        weights = list(self.task.get_trainable_module().parameters())
        trained = {id(weight) for weight in weights}
        moments = [t for state in self.optimizer.state.values() for t in state.values() if isinstance(t, Tensor)]
        scale = [self.scaler._scale, self.scaler._growth_tracker] if self.scaler.is_enabled() else []
        return {
            "weights": weights,
            "averaged weights": [weight for weight in self.task.parameters() if id(weight) not in trained],
            "buffers": list(self.task.buffers()),
            "optimizer": moments,
            "sums": [*self.tally.tensors, *(t for t in scale if t is not None)],
        }

    def _new_scaler(self) -> torch.amp.GradScaler:
        """fp16 keeps small gradients only if they are scaled up; otherwise this does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def _mend_scaler(self) -> None:
        """Forget that a step was begun."""
        state = self.scaler.state_dict()
        self.scaler = self._new_scaler()
        if state:
            self.scaler.load_state_dict(state)

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, from 0."""
        return self.step // len(self.loader)

    def train_epoch(self, pause: Callable[[], bool], on_step: Callable[[dict[str, float]], None]) -> bool:
        """Train to the end of the current epoch.

        Args:
            pause: asked after every step; True ends the call there, on all ranks or on none. The next call goes on.
            on_step: told the losses after every step (on CUDA: the last ones read).

        Returns:
            Whether the epoch is complete.

        Raises:
            Diverged: a loss is not finite; on all ranks.
        """
        self.task.train()
        started, already = time.perf_counter(), self.epoch_seconds
        done = self.step % len(self.loader)
        losses: dict[str, float] = {}
        for images, index in self.loader.epoch(self.epoch, start=done):
            self._train_step(images, index)
            done += 1
            paused = pause()
            if self.device.type == "cpu" or done % READ_EVERY == 0 or paused or done == len(self.loader):
                losses = self._read()
            self.epoch_seconds = already + time.perf_counter() - started
            on_step(losses)
            if paused and done < len(self.loader):
                return False
        return True

    def _train_step(self, images: Tensor, index: Tensor) -> None:
        """One update. Nothing in here waits for the device."""
        if distributed.world_size() > 1:  # the noise of dropout: other on each rank, nothing to keep in the checkpoint
            torch.manual_seed(seed_of(self.config.seed, self.step, distributed.rank()))
        self.task.begin_step(self.step / self.total_steps)
        if self.captured is None:
            self._update(images, index)
        else:
            self.captured(images, index)
        self.step += 1
        self.lr = self.optimizer.param_groups[0]["lr"]
        self.scheduler.step_update(self.step)

    def _update(self, images: Tensor, index: Tensor) -> None:
        """What a step does on the device. It may be captured: then no Python runs here when it is replayed."""
        self.optimizer.zero_grad(set_to_none=True)  # before the forward pass, which can have their memory
        views, target = self.views(images, index)
        views = tuple(view.contiguous(memory_format=torch.channels_last) for view in views)
        known = {"index": index} if self._names_index else {}
        with autocast(self.device, self.dtype):
            result = self.task(views, target, **known)
        self.scaler.scale(result["loss"]).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        scalars = {name: result[name].detach() for name in self.task.logs}
        # Every rank has the same state after every step: rank 0's checkpoint is that of all. DDP sees to the weights.
        distributed.average_([*scalars.values(), *self.task.get_trainable_module().buffers()])
        self.tally.add(scalars)

    def _read(self) -> dict[str, float]:
        """The losses of the last step, read from the device all at once.

        Raises:
            Diverged: one since the start was not finite.
        """
        losses, bad_step = self.tally.read()
        if bad_step is not None:
            loss = losses["loss"] if bad_step == self.step else math.nan
            raise Diverged(f"the loss is {loss}", bad_step, len(self.loader), self.lr)
        return losses

    def finish_epoch(self) -> dict[str, float]:
        """Averages of the epoch that just ended, its speed and learning rate; starts the next."""
        images = len(self.loader) * self.loader.batch_size
        metrics = {
            "epoch": self.step // len(self.loader),
            "step": self.step,
            **self.tally.averages(len(self.loader)),
            "lr": self.optimizer.param_groups[0]["lr"],
            "images_per_second": round(images / self.epoch_seconds, 2),
            "seconds": round(self.epoch_seconds, 3),
        }
        self.tally.start_epoch()
        self.epoch_seconds = 0.0
        return metrics

    def diverged(self, what: str) -> Diverged:
        """The error for something that is not finite after the last update."""
        return Diverged(what, self.step, len(self.loader), self.lr)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            **self.task.get_checkpoint_state(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "totals": self.tally.state_dict(),
            "epoch_seconds": self.epoch_seconds,
            "augmentation_rng": self.views.generator.get_state(),
            # dropout and stochastic depth draw from the global generators
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the moment ``state_dict`` was called.

        Raises:
            DermsslError: the state is not one of this run.
        """
        if not 0 <= state["step"] <= self.total_steps:
            raise DermsslError(f"step {state['step']} is not one of this run's {self.total_steps}")
        self.task.load_checkpoint_state(state["state_dict"], state.get("task_state"))
        load_optimizer(self.optimizer, state["optimizer"])
        if state.get("scaler") and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        self.scheduler.step_update(self.step)
        self.tally.load_state_dict(state["totals"], self.step)
        self.epoch_seconds = state["epoch_seconds"]
        if (state["cuda_rng"] is None) == (self.device.type == "cuda"):
            self._seed_anew()
            return
        self.views.generator.set_state(state["augmentation_rng"])
        torch.set_rng_state(state["torch_rng"])
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)

    def _seed_anew(self) -> None:
        """Go on from other random numbers, where those of the checkpoint are of another kind of device."""
        seed = seed_of(self.config.seed, self.step)
        self.views.generator.manual_seed(seed)
        torch.manual_seed(seed)
        LOGGER.warning(
            "the checkpoint was written on another kind of device: what is drawn from here on depends on the seed and "
            "the step, and the result is not to the bit that of an unbroken run"
        )


def seed_of(*numbers: int) -> int:
    """A seed that depends on all the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
