"""More than one process: who is who, what they exchange, how they fail together.

A thin layer over ``torch.distributed``. In a process without a group everything here does nothing: one rank, which
holds everything.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from dermssl.errors import DermsslError, SaidElsewhere

LOGGER = logging.getLogger("dermssl")

Rows = TypeVar("Rows", Tensor, np.ndarray)

# Ranks may wait for one that decodes images or evaluates; a rank that died is noticed at once, not by this.
PATIENCE = timedelta(days=2)

# Small news travels beside the tensors, on the CPU: agreeing to stop must not wait for the GPU, nor time out as soon.
_news: dist.ProcessGroup | None = None


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """This process's number among those of its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", rank())) if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this process writes and prints; also right in torchrun's processes before and after the group exists."""
    if dist.is_initialized() or not dist.is_torchelastic_launched():
        return rank() == 0
    return os.environ.get("RANK", "0") == "0"


def restarted() -> bool:
    """Whether torchrun started this process anew after a failure."""
    return dist.is_torchelastic_launched() and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """The processes that torchrun started, as one group: NCCL between GPUs, gloo between CPUs.

    A group that exists already is used and left in place. Only rank 0 logs.

    Raises:
        DermsslError: another process of the group was lost.
    """
    global _news
    launched = dist.is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    ours = launched and not dist.is_initialized()
    if ours:
        _join()
    if world_size() == 1:
        yield
        return
    _news = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=PATIENCE))
    was_disabled, LOGGER.disabled = LOGGER.disabled, rank() > 0
    try:
        yield
    except RuntimeError as error:
        if _lost_another(error):
            # No orderly end: NCCL would wait for the one that is gone. torchrun ends what is left.
            raise DermsslError(
                f"process {rank()}: another process of this job has ended; its own message, or torchrun's, says why "
                f"({str(error).splitlines()[0]})"
            ) from error
        raise
    finally:
        LOGGER.disabled = was_disabled
    _news = None
    if ours:
        dist.destroy_process_group()


def _join() -> None:
    """Meet the other processes where torchrun says."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if os.environ["LOCAL_WORLD_SIZE"] != os.environ["WORLD_SIZE"]:
        dist.init_process_group(backend)
        return
    # torchrun keeps one store over all its restarts, and in it the addresses of processes that are gone
    # (pytorch#135712). Between machines the count of restarts may differ, so that is for torchrun to solve.
    store, rank_, size = next(rendezvous("env://"))
    store = dist.PrefixStore(f"start {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    dist.init_process_group(backend, store=store, rank=rank_, world_size=size)


def own_device(device: torch.device) -> torch.device:
    """The GPU of this rank where ``device`` is CUDA: the one with its local number."""
    if world_size() == 1 or device.type != "cuda":
        return device
    if local_rank() >= torch.cuda.device_count():
        raise DermsslError(
            f"process {local_rank()} of this machine has no GPU of its own: torch sees {torch.cuda.device_count()}; "
            f"start torchrun with --nproc-per-node {torch.cuda.device_count()}"
        )
    torch.cuda.set_device(local_rank())
    return torch.device("cuda", local_rank())


def share(batch: Rows) -> Rows:
    """This rank's rows of a global batch: the ranks hold it in order, in equal parts."""
    if world_size() == 1:
        return batch
    size = len(batch) // world_size()
    return batch[rank() * size : (rank() + 1) * size]


def gather(rows: Tensor) -> Tensor:
    """The rows of all ranks, as many of each, in the order of the global batch: undoes ``share``. No gradient."""
    if world_size() == 1:
        return rows
    rows = rows.detach().contiguous()
    every = rows.new_empty(world_size() * len(rows), *rows.shape[1:])
    _all_gather(every, rows)
    return every


def gather_with_gradient(rows: Tensor) -> Tensor:
    """As ``gather``, with a gradient: that of the sum of the losses of all ranks."""
    return rows if world_size() == 1 else _Gathered.apply(rows)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        return gather(rows)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return share(gradient)


def deal(rows: Tensor) -> Tensor:
    """The rows rank, rank + ranks, rank + 2 ranks, ... of the global batch; ``rows`` are this rank's share of it.

    Each rank receives these alone, as many as it gives: of n ranks an n-th of what ``gather`` moves. No gradient.
    """
    if world_size() == 1:
        return rows
    order, give, take = _hands(len(rows))
    return _trade(rows[order.to(rows.device)], give, take)


def collect(rows: Tensor) -> Tensor:
    """Give what was made of dealt rows back to the ranks whose share they are: undoes ``deal``. No gradient."""
    if world_size() == 1:
        return rows
    order, give, take = _hands(len(rows))
    return _trade(rows, take, give)[order.argsort().to(rows.device)]


def _hands(count: int) -> tuple[Tensor, list[int], list[int]]:
    """The order in which this rank deals its ``count`` rows, how many to each rank, and how many it gets from each."""
    ranks = world_size()
    owner = torch.arange(ranks * count).reshape(ranks, count) % ranks  # of every row of the global batch
    give = owner[rank()].bincount(minlength=ranks).tolist()
    return owner[rank()].argsort(stable=True), give, (owner == rank()).sum(1).tolist()


def _trade(rows: Tensor, give: list[int], take: list[int]) -> Tensor:
    rows = rows.detach().contiguous()
    taken = rows.new_empty(sum(take), *rows.shape[1:])
    dist.all_to_all_single(taken, rows, take, give)
    return taken


def average_(tensors: Sequence[Tensor]) -> None:
    """Replace each floating-point tensor by its mean over the ranks, all in one exchange."""
    tensors = [tensor for tensor in tensors if tensor.is_floating_point()]
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten().float() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def any_rank(flag: bool) -> bool:
    """Whether ``flag`` is true on any rank. All ranks must ask."""
    if world_size() == 1:
        return flag
    answer = torch.tensor(int(flag))
    dist.all_reduce(answer, dist.ReduceOp.MAX, group=_news)
    return bool(answer)


def from_main(value: Any) -> Any:
    """Rank 0's value. All ranks must ask."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, group=_news)
    return box[0]


def _all_gather(every: Tensor, rows: Tensor) -> None:
    # torch 2.14 has another name for it and warns of the old one; 2.11 has the old one alone
    getattr(dist, "all_gather_single", dist.all_gather_into_tensor)(every, rows)


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """A body that succeeds on all ranks or ends all of them. It may not exchange anything itself.

    Raises:
        SaidElsewhere: on the ranks that do not have the first error themselves, with its text.
    """
    if world_size() == 1:
        yield
        return
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    texts: list[str | None] = [None] * world_size()
    text = None if failure is None else str(failure) or type(failure).__name__
    dist.all_gather_object(texts, text, group=_news)
    first = next((number for number, said in enumerate(texts) if said is not None), None)
    if failure is not None and first == rank():
        raise failure
    if first is not None:
        raise SaidElsewhere(f"process {first} of this job failed: {texts[first]}")


@contextlib.contextmanager
def one_per_machine_first() -> Iterator[None]:
    """A body that one process per machine goes through before the others on that machine."""
    if local_rank() > 0:
        with agreed():
            pass
    with agreed():
        yield
    if local_rank() == 0:
        with agreed():
            pass


def _lost_another(error: RuntimeError) -> bool:
    """Whether a collective failed because a process is gone: gloo says it in words, NCCL by a type of its own."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection closed by peer" in str(error)
