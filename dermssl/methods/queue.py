"""The queue of keys that serve as negatives."""

import torch
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """The last ``size`` keys, first in, first out; all state is in persistent buffers.

    Buffers: ``keys`` (K, D) float32, unit length; ``pointer`` () int64, the slot written next; ``filled`` () int64,
    how many slots hold a key. Slots never written are not negatives: see ``valid``.

    Args:
        size: K, number of keys; need not be a multiple of the batch.
        dim: D, length of a key.
    """

    keys: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def valid(self) -> Tensor:
        """(K,) bool: which slots hold a key."""
        return torch.arange(len(self.keys), device=self.keys.device) < self.filled

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Write keys (B, D) over the oldest ones, across the end of the buffer if need be.

        Call it after the loss has been taken on a copy of ``keys``: autograd refuses a buffer written in place
        before backward.
        """
        size = len(self.keys)
        keys = keys[-size:].to(self.keys.dtype)
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % size
        self.keys.index_copy_(0, slots, keys)
        self.pointer.copy_((self.pointer + len(keys)) % size)
        self.filled.copy_((self.filled + len(keys)).clamp(max=size))
