"""Whether a state holds numbers only: what is not finite is never saved."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def not_finite(state: Any) -> list[str]:
    """The places of the tensors that hold NaN or infinity.

    Args:
        state: dictionaries and lists of tensors on any device, nested in one another; everything else is passed over.

    Returns:
        Their names, such as ``optimizer/state/3/momentum_buffer``; each device is waited for once.
    """
    floating = [(name, tensor) for name, tensor in _tensors(state) if tensor.is_floating_point() and tensor.numel()]
    broken: list[str] = []
    for device in dict.fromkeys(tensor.device for _, tensor in floating):
        there = [(name, tensor) for name, tensor in floating if tensor.device == device]
        finite = torch.stack([torch.isfinite(tensor.detach()).all() for _, tensor in there]).tolist()
        broken += [name for (name, _), good in zip(there, finite, strict=True) if not good]
    return broken


def bytes_of(state: Any) -> int:
    """What the tensors of a state take on a disk."""
    return sum(tensor.numel() * tensor.element_size() for _, tensor in _tensors(state))


def _tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from _tensors(value, f"{name}/{key}" if name else str(key))
    elif isinstance(state, list | tuple):
        for number, value in enumerate(state):
            yield from _tensors(value, f"{name}/{number}" if name else str(number))
