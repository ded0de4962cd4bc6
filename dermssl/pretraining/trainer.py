"""The training loop over one task: steps, schedule, epoch averages, state for a checkpoint."""

import inspect
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from timm.optim import create_optimizer_v2, list_optimizers
from timm.scheduler import create_scheduler_v2
from torch import Tensor

from dermssl import distributed
from dermssl.data.augment import TwoViews
from dermssl.data.jigsaw import JigsawViews
from dermssl.data.loader import Loader
from dermssl.devices import autocast
from dermssl.errors import DermsslError
from dermssl.pretraining.config import PretrainConfig

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
        self.optimizer = _optimizer(config, task, lr)
        self.scheduler = _scheduler(config, self.optimizer, warmup_epochs, len(loader))
        self.step = 0  # updates made so far, in all epochs
        self.epoch_seconds = 0.0
        self.totals: dict[str, Tensor] = {}  # sums of the task's scalars over the batches of this epoch

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, from 0."""
        return self.step // len(self.loader)

    def train_epoch(self, stop: Callable[[], bool], on_step: Callable[[dict[str, float]], None]) -> bool:
        """Train to the end of the current epoch.

        Args:
            stop: asked after every step; True ends the epoch there, on all ranks or on none.
            on_step: told the losses after every step (on CUDA: the last ones read).

        Returns:
            Whether the epoch is complete.
        """
        self.task.train()
        started, already = time.perf_counter(), self.epoch_seconds
        done = self.step % len(self.loader)
        losses: dict[str, float] = {}
        for images, index in self.loader.epoch(self.epoch, start=done):
            scalars = self._train_step(images, index)
            done += 1
            if self.device.type == "cpu" or done % READ_EVERY == 0 or done == len(self.loader):
                losses = {name: value.item() for name, value in scalars.items()}
                self._refuse_nan(losses["loss"])
            self.epoch_seconds = already + time.perf_counter() - started
            on_step(losses)
            if stop() and done < len(self.loader):
                return False
        return True

    def _train_step(self, images: Tensor, index: Tensor) -> dict[str, Tensor]:
        if distributed.world_size() > 1:  # the noise of dropout: other on each rank, nothing to keep in the checkpoint
            torch.manual_seed(_seed(self.config.seed, self.step, distributed.rank()))
        views, target = self.views(images, index)
        views = tuple(view.contiguous(memory_format=torch.channels_last) for view in views)
        self.task.begin_step(self.step / self.total_steps)
        known = {"index": index} if self._names_index else {}
        with autocast(self.device, self.dtype):
            result = self.task(views, target, **known)
        self.optimizer.zero_grad(set_to_none=True)
        result["loss"].backward()
        self.optimizer.step()
        self.step += 1
        self.scheduler.step_update(self.step)
        scalars = {name: result[name].detach() for name in self.task.logs}
        # Every rank has the same state after every step: rank 0's checkpoint is that of all. DDP sees to the weights.
        distributed.average_([*scalars.values(), *self.task.get_trainable_module().buffers()])
        for name, value in scalars.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.double()
        return scalars

    def _refuse_nan(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        with distributed.agreed():  # the average loss: all ranks come here, one says it
            raise DermsslError(
                f"the loss is {loss} at step {self.step} (epoch {self.epoch + 1}); the last checkpoint is kept. "
                "Try a lower --lr, a longer --warmup-epochs or --precision fp32"
            )

    def finish_epoch(self) -> dict[str, float]:
        """Averages of the epoch that just ended, its speed and learning rate; starts the next."""
        averages = {name: (total / len(self.loader)).item() for name, total in self.totals.items()}
        images = len(self.loader) * self.loader.batch_size
        metrics = {
            "epoch": self.step // len(self.loader),
            "step": self.step,
            **averages,
            "lr": self.optimizer.param_groups[0]["lr"],
            "images_per_second": round(images / self.epoch_seconds, 2),
            "seconds": round(self.epoch_seconds, 3),
        }
        self.totals, self.epoch_seconds = {}, 0.0
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            **self.task.get_checkpoint_state(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "totals": self.totals,
            "epoch_seconds": self.epoch_seconds,
            "augmentation_rng": self.views.generator.get_state(),
            # dropout and stochastic depth draw from the global generators
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the moment ``state_dict`` was called."""
        self.task.load_checkpoint_state(state["state_dict"], state.get("task_state"))
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.scheduler.step_update(self.step)
        self.totals = {name: total.to(self.device) for name, total in state["totals"].items()}
        self.epoch_seconds = state["epoch_seconds"]
        self.views.generator.set_state(state["augmentation_rng"])
        torch.set_rng_state(state["torch_rng"])
        if state["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _optimizer(config: PretrainConfig, task: Any, lr: float) -> torch.optim.Optimizer:
    if config.opt not in list_optimizers():
        raise DermsslError(f"--opt {config.opt}: timm has no such optimizer; timm.optim.list_optimizers() lists all")
    return create_optimizer_v2(
        task.get_trainable_module(), opt=config.opt, lr=lr, weight_decay=config.weight_decay, momentum=0.9
    )


def _scheduler(config: PretrainConfig, optimizer: torch.optim.Optimizer, warmup_epochs: float, batches: int) -> Any:
    try:
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=config.sched,
            num_epochs=config.epochs,
            warmup_epochs=warmup_epochs,  # type: ignore[arg-type]  # only multiplied by updates_per_epoch
            warmup_lr=optimizer.param_groups[0]["lr"] / 100,
            step_on_epochs=False,
            updates_per_epoch=batches,
        )
    except (ValueError, AssertionError) as error:
        raise DermsslError(f"--sched {config.sched}: {error}") from error
    if scheduler is None:
        raise DermsslError(f"--sched {config.sched}: timm has no such schedule; use cosine, constant, poly, step, ...")
    return scheduler
