"""The momentum encoder: makes the keys, follows the query encoder slowly, never sees a gradient."""

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from dermssl import distributed

KEY_NORMS = ("batch", "ema", "shuffle")

# MoCo's per-GPU batch; smaller groups make the statistics of BatchNorm too noisy.
SHUFFLE_GROUP = 32


class MomentumEncoder(nn.Module):
    """A copy of ``encoder`` whose parameters are a moving average of it (eq. 4).

    Args:
        encoder: the query encoder; must have a method ``embed``.
        key_norm: what BatchNorm does in the key encoder.
            ``"batch"``: normalises by the statistics of the batch of keys;
            ``"ema"``: eval mode, the statistics are averaged along with the parameters (EMAN, Cai et al. 2021);
            ``"shuffle"``: normalises by the statistics of groups of ``SHUFFLE_GROUP`` keys, each drawn from the whole
            batch, that of all processes (MoCo's shuffling BN).
    """

    def __init__(self, encoder: nn.Module, key_norm: str) -> None:
        super().__init__()
        self.key_norm = key_norm
        self.average = ModelEmaV3(encoder, exclude_buffers=key_norm != "ema").requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "MomentumEncoder":
        """Follow the mode of the task, but for ``key_norm="ema"``, whose key encoder is always in eval mode."""
        return super().train(mode and self.key_norm != "ema")

    def update(self, encoder: nn.Module, m: float) -> None:
        """theta_k <- m theta_k + (1 - m) theta_q (eq. 4)."""
        self.average.decay = m
        self.average.update(encoder)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (B, D) of images (B, 3, S, S)."""
        if self.key_norm != "shuffle" or not self.training:
            return self.average.module.embed(images)
        # Batches arrive in random order, so a fixed stride mixes them as well as a drawn permutation, over the
        # processes as within one; and the groups are those that one process would make.
        processes = distributed.world_size()
        every = distributed.gather(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        keys = distributed.gather(self._embed_in_groups(every[distributed.rank() :: processes]))
        return distributed.share(keys.unflatten(0, (processes, -1)).transpose(0, 1).flatten(0, 1))

    def _embed_in_groups(self, images: Tensor) -> Tensor:
        embed = self.average.module.embed
        groups = len(images) // SHUFFLE_GROUP
        if groups < 2:
            return embed(images)
        keys = [embed(images[g::groups]) for g in range(groups)]
        out = keys[0].new_empty(len(images), keys[0].shape[1])
        for g, group in enumerate(keys):
            out[g::groups] = group
        return out
