"""What the tests let each rank do. Results are numbers, text and NumPy arrays: they travel between processes."""

import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import dermssl
from dermssl import distributed
from dermssl.data.augment import TwoViews
from dermssl.data.loader import Loader
from dermssl.data.policy import ViewPolicy
from dermssl.methods import momentum
from dermssl.methods.momentum import MomentumEncoder
from dermssl.methods.registry import METHODS
from dermssl.pretraining import loop as loop_module
from dermssl.pretraining.trainer import Trainer

CPU = torch.device("cpu")


def exchange() -> dict[str, Any]:
    """Everything of ``dermssl.distributed``, once."""
    with distributed.process_group():
        rank = distributed.rank()
        rows = torch.arange(12.0).reshape(6, 2)
        channels_last = distributed.share(torch.arange(6 * 12.0).reshape(6, 3, 2, 2)).contiguous(
            memory_format=torch.channels_last
        )
        means = [torch.tensor([1.0, rank]), torch.tensor(float(rank)), torch.tensor([3 * rank])]
        distributed.average_(means)
        return {
            "share": distributed.share(rows).numpy(),
            "gathered": distributed.gather(distributed.share(rows)).numpy(),
            "images": distributed.gather(channels_last).numpy(),
            "dealt": distributed.deal(distributed.share(rows)).numpy(),
            "uneven": distributed.deal(torch.arange(5 * rank, 5 * rank + 5)).numpy(),
            "collected": distributed.collect(distributed.deal(distributed.share(rows))).numpy(),
            "collected_uneven": distributed.collect(distributed.deal(torch.arange(5 * rank, 5 * rank + 5))).numpy(),
            "gradient": _gradient(rows).numpy(),
            "means": [mean.numpy() for mean in means],
            "any": [distributed.any_rank(rank == 1), distributed.any_rank(False)],
            "from_main": distributed.from_main({"rank": rank}),
            "main": distributed.is_main(),
        }


def _gradient(rows: torch.Tensor) -> torch.Tensor:
    """Of the sum over the ranks of (rank + 1) times the sum of squares of all rows."""
    own = distributed.share(rows).clone().requires_grad_()
    every = distributed.gather_with_gradient(own)
    ((distributed.rank() + 1) * every.square().sum()).backward()
    return own.grad


def batches(images: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
    """This rank's images of an epoch, and its views of the first batch."""
    with distributed.process_group():
        loader = Loader(images, batch_size, seed=3, device=CPU)
        views = TwoViews(16, ViewPolicy(), (0.5,) * 3, (0.25,) * 3, torch.Generator().manual_seed(5))
        shares = list(loader.epoch(1))
        (query, key), turns = views(*shares[0])
        return {
            "order": loader.order(1),
            "images": torch.stack([images for images, _ in shares]).numpy(),
            "index": torch.stack([index for _, index in shares]).numpy(),
            "query": query.numpy(),
            "key": key.numpy(),
            "turns": turns.numpy(),
        }


def shuffled_keys(images: np.ndarray, group: int, width: int = 5) -> np.ndarray:
    """Keys of this rank's images where BatchNorm sees groups of ``group``."""
    momentum.SHUFFLE_GROUP = group
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(images[0].size, width), nn.BatchNorm1d(width, affine=False))
    encoder.embed = encoder.forward
    with distributed.process_group():
        keys = MomentumEncoder(encoder, "shuffle").train()
        return keys(distributed.share(torch.from_numpy(images))).numpy()


def pretrain(
    data: Path,
    output: Path,
    norm: str | None = None,
    stop_after: int | None = None,
    fail_after: int | None = None,
    kill_at: int | None = None,
    group: int | None = None,
    alone: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """A run and the state it ends in.

    Args:
        norm: what BatchNorm does; None as it always does, else one of ``NORMS``.
        stop_after: the last rank gets SIGTERM in this step.
        fail_after: an error of the main process after this epoch, while it writes the metrics.
        kill_at: the last rank gets SIGKILL before this step.
        group: least size of a group of ``key_norm="shuffle"``.
        alone: the method says that it cannot span several processes.
    """
    if group is not None:
        momentum.SHUFFLE_GROUP = group
    if alone:
        METHODS[options["method"]].spans_processes = False
    if norm:
        nn.modules.batchnorm._BatchNorm.forward = NORMS[norm]
    written: list[str] = []
    _watch_writes(written, output)
    plain_step = Trainer._train_step

    def step(trainer: Trainer, *batch: Any) -> Any:
        last = distributed.rank() == distributed.world_size() - 1
        if last and trainer.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        scalars = plain_step(trainer, *batch)
        if last and trainer.step == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)
        states.append({name: value.clone() for name, value in trainer.task.state_dict().items()})
        del states[:-1]
        return scalars

    def full_disk(metrics: dict[str, Any], _: int) -> str:
        if metrics["epoch"] < fail_after:
            return ""
        raise dermssl.DermsslError("cannot write metrics.jsonl: No space left on device")

    states: list[dict[str, torch.Tensor]] = []
    Trainer._train_step = step
    if fail_after is not None:
        loop_module.describe_epoch = full_disk
    failure = ""
    try:
        dermssl.pretrain(data, output, **options)
    except dermssl.DermsslError as error:
        failure = f"{type(error).__name__}: {error}"
    state = {name.replace(".module.", "."): value.numpy() for name, value in (states or [{}])[-1].items()}
    return {"failure": failure, "state": state, "written": written}


def elastic(kill_at: list[int], restarts: int, data: Path, output: Path, **options: Any) -> dict[str, str]:
    """What torchrun does with ``--nproc-per-node 2 --max-restarts``, in processes that need not import torch anew.

    Args:
        kill_at: rank 1 gets SIGKILL before the first of these steps; after a restart before the second; ...
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # a free port, as --standalone
        max_restarts=restarts,
        monitor_interval=0.1,
        start_method="fork",
    )
    failure = ""
    try:
        elastic_launch(config, _one_is_killed)(kill_at, data, output, options)
    except ChildFailedError as error:
        failure = str(error)
    return {"failure": failure}


def _one_is_killed(kill_at: list[int], data: Path, output: Path, options: dict[str, Any]) -> None:
    plain_step, rank = Trainer._train_step, os.environ["RANK"]
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])

    def step(trainer: Trainer, *batch: Any) -> Any:
        if rank == "1" and restarts < len(kill_at) and trainer.step == kill_at[restarts]:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain_step(trainer, *batch)

    Trainer._train_step = step
    dermssl.pretrain(data, output, checkpoint_every=0, **options)


def _watch_writes(written: list[str], output: Path) -> None:
    """Record what this process makes, renames or opens for writing at or below ``output``."""

    def hook(event: str, arguments: tuple) -> None:
        if event not in ("open", "os.mkdir", "os.rename") or not str(arguments[0]).startswith(str(output)):
            return
        if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(str(arguments[0]))

    sys.addaudithook(hook)


def frozen(self: nn.modules.batchnorm._BatchNorm, x: torch.Tensor) -> torch.Tensor:
    """BatchNorm whose statistics are not the batch's: zero and one."""
    return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class SumOfRanks(torch.autograd.Function):
    """Sum over the ranks; so is its gradient."""

    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


def synchronised(self: nn.modules.batchnorm._BatchNorm, x: torch.Tensor) -> torch.Tensor:
    """BatchNorm over the batches of all ranks, spelled out: torch has it between GPUs only."""
    if not self.training:
        return frozen(self, x)
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    total = SumOfRanks.apply if ranks > 1 else torch.clone
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    count = ranks * x.numel() / x.shape[1]
    mean = total(x.sum(axes)) / count
    centred = x - mean.view(shape)
    var = total(centred.square().sum(axes)) / count
    with torch.no_grad():
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * count / (count - 1), self.momentum)
    scale = self.weight / (var + self.eps).sqrt()
    return centred * scale.view(shape) + self.bias.view(shape)


NORMS = {"frozen": frozen, "synchronised": synchronised}
