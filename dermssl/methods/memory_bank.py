"""The memory bank: for every image of the data set a moving average of its embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MemoryBank(nn.Module):
    """Embeddings by the number of their image; all state is in persistent buffers.

    Buffers: ``embeddings`` (N, D) float32, unit length; ``seen`` (N,) bool, which images have one.

    Args:
        images: N, number of images.
        dim: D, length of an embedding.
    """

    embeddings: Tensor
    seen: Tensor

    def __init__(self, images: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(images, dim))
        self.register_buffer("seen", torch.zeros(images, dtype=torch.bool))

    def read(self, index: Tensor, fresh: Tensor) -> Tensor:
        """Memories (B, D) of the images ``index`` (B,); of those never seen ``fresh`` (B, D), unit length."""
        return torch.where(self.seen[index, None], self.embeddings[index], fresh.to(self.embeddings.dtype))

    def draw(self, count: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """At most ``count`` memories of different images, as negatives for the images ``index`` (B,).

        Drawn as dropout draws: from torch's global generator of the device, whose state a checkpoint keeps.

        Returns:
            (K, D) memories and (B, K) bool, which of them count: those of images that were seen, not of its own.
        """
        drawn = torch.randperm(len(self.seen), device=self.seen.device)[:count]
        return self.embeddings[drawn], self.seen[drawn] & (drawn != index[:, None])

    @torch.no_grad()
    def update(self, index: Tensor, fresh: Tensor, m: float) -> None:
        """memory <- m memory + (1 - m) fresh, back to unit length; an image never seen takes ``fresh`` as it is."""
        average = F.normalize(m * self.read(index, fresh) + (1 - m) * fresh, dim=1)
        self.embeddings.index_copy_(0, index, average)
        self.seen.index_fill_(0, index, True)
