"""The queue of keys that serve as negatives."""

from typing import Any

import torch
from torch import Tensor, nn

UNKNOWN = -1  # the owner of a key whose image was not named


class KeyQueue(nn.Module):
    """The last ``size`` keys, first in, first out, and whose they are; all state is in persistent buffers.

    Buffers: ``keys`` (K, D) float32, unit length; ``owners`` (K,) int64, the number of the image that a key was made
    from, -1 where it is unknown; ``pointer`` () int64, the slot written next; ``filled`` () int64, how many slots hold
    a key.

    Args:
        size: K, number of keys; need not be a multiple of the batch, and may exceed the number of images.
        dim: D, length of a key.
    """

    keys: Tensor
    owners: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("owners", torch.full((size,), UNKNOWN))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def valid(self, index: Tensor | None = None) -> Tensor:
        """Which slots are negatives: those that hold a key, but not an image's own.

        Args:
            index: (B,) int64, the numbers of the images that the negatives are for; None where they are not known.

        Returns:
            (B, K) bool; (K,) bool without ``index``: then no key is left out for its owner.
        """
        written = torch.arange(len(self.keys), device=self.keys.device) < self.filled
        return written if index is None else written & (self.owners != index[:, None])

    @torch.no_grad()
    def enqueue(self, keys: Tensor, index: Tensor | None = None) -> None:
        """Write keys (B, D) of the images ``index`` (B,) over the oldest ones, across the end of the buffer if need be.

        Call it after the loss has been taken on a copy of ``keys``: autograd refuses a buffer written in place
        before backward.
        """
        size = len(self.keys)
        keys = keys[-size:].to(self.keys.dtype)
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % size
        self.keys.index_copy_(0, slots, keys)
        if index is None:
            self.owners.index_fill_(0, slots, UNKNOWN)
        else:
            self.owners.index_copy_(0, slots, index[-size:])
        self.pointer.copy_((self.pointer + len(keys)) % size)
        self.filled.copy_((self.filled + len(keys)).clamp(max=size))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        # dermssl 0.1.0 did not keep the owners
        state.setdefault(prefix + "owners", torch.full_like(self.owners, UNKNOWN))
        super()._load_from_state_dict(state, prefix, *rest)
