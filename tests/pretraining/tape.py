"""A CUDA graph's stand-in on the CPU, which keeps the rules of one.

While it captures it notes each operation of torch, with the tensors it read and wrote, and takes back what they wrote:
nothing was done. A replay does the noted operations again on the same tensors, and no Python of the step: a number
that was a plain one is the same in every replay, a tensor that the step replaced by another is not the one that is
written, and what a step reads must be put where it was.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """A ``dermssl.pretraining.graphs.Recorder``."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Any]]] = []
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}  # storage -> a tensor of all of it, and its copy
        self.made: list[Tensor] = []  # keeps the storages that the step made
        self.own: set[int] = set()
        self.replays = 0

    @contextlib.contextmanager
    def warming(self) -> Iterator[None]:
        """Nothing is to be done."""
        yield

    def capture(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        """Note the operations of ``work``, and undo them."""
        drawn = [(g, g.get_state()) for g in (*generators, torch.default_generator)]
        with self:
            work()
        for whole, copy in self.kept.values():
            whole.copy_(copy)
        for generator, state in drawn:
            generator.set_state(state)

    def replay(self) -> None:
        """Do them again."""
        self.replays += 1
        with torch.no_grad():
            for func, args, kwargs, results in self.calls:
                for old, new in zip(results, tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)

    def forget(self) -> None:
        """Forget the operations."""
        self.calls.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._keep_what_is_written(func, args, kwargs)
        result = func(*args, **kwargs)
        results = tree_leaves(result)
        read = {storage(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in results:
            if isinstance(tensor, Tensor) and storage(tensor) not in read:
                self.made.append(tensor)
                self.own.add(storage(tensor))
        self.calls.append((func, args, kwargs, results))
        return result

    def _keep_what_is_written(self, func: Any, args: Any, kwargs: Any) -> None:
        """Copy what was there before the step and is written for the first time."""
        names = [a.name for a in func._schema.arguments]
        given = dict(zip(names, args, strict=False)) | kwargs
        for argument in func._schema.arguments:
            # batch_norm writes its statistics, which its schema does not say
            written = argument.name.startswith("running_") or (argument.alias_info and argument.alias_info.is_write)
            if not written or argument.name not in given:
                continue
            for tensor in tree_leaves(given[argument.name]):
                if isinstance(tensor, Tensor) and storage(tensor) not in self.own and storage(tensor) not in self.kept:
                    whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                    self.kept[storage(tensor)] = whole, whole.clone()


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
