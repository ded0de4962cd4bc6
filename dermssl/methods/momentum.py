"""The momentum encoder: makes the keys, follows the query encoder slowly, never sees a gradient."""

import copy
import logging
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dermssl import distributed
from dermssl.errors import DermsslError
from dermssl.methods.batchnorm import GroupedBatchNorm

LOGGER = logging.getLogger("dermssl")

# MoCo's per-GPU batch; smaller groups make the statistics of BatchNorm too noisy.
SHUFFLE_GROUP = 32


class MomentumEncoder(nn.Module):
    """A copy of ``encoder`` whose parameters are a moving average of it (eq. 4).

    Args:
        encoder: the query encoder; must have a method ``embed``.
        key_norm: what BatchNorm does in the key encoder.
            ``"batch"``: normalises by the statistics of the batch of keys;
            ``"ema"``: eval mode, the statistics are averaged along with the parameters (EMAN, Cai et al. 2021);
            ``"shuffle"``: normalises by the statistics of groups of at least ``SHUFFLE_GROUP`` keys, dealt from the
            whole batch, that of all processes, while the queries are normalised by other groups, of neighbours in
            the batch (MoCo's shuffling BN, on any number of devices): see ``queries``.
        without: names of modules of ``encoder`` that keys do not need, such as the rotation head; they are not kept.

    Raises:
        DermsslError: the parameters are of half precision, where an average of small steps rounds to nothing.
    """

    def __init__(self, encoder: nn.Module, key_norm: str, without: Sequence[str] = ()) -> None:
        super().__init__()
        self.key_norm, self.without = key_norm, tuple(without)
        self.encoder = copy.deepcopy(encoder)
        for name in self.without:
            delattr(self.encoder, name)
        if any(p.dtype in (torch.float16, torch.bfloat16) for p in self.encoder.parameters()):
            raise DermsslError("a momentum encoder needs float32 parameters; use autocast for bf16")
        self.encoder.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_as_now)
        self._warned = False
        self.train(self.training)

    def train(self, mode: bool = True) -> "MomentumEncoder":
        """Follow the mode of the task, but for ``key_norm="ema"``, whose key encoder is always in eval mode."""
        return super().train(mode and self.key_norm != "ema")

    @torch.no_grad()
    def update(self, encoder: nn.Module, m: float | Tensor) -> None:
        """theta_k <- m theta_k + (1 - m) theta_q (eq. 4), in one call; in three where m is a tensor ()."""
        theta_q, buffers_q = dict(encoder.named_parameters()), dict(encoder.named_buffers())
        pairs: list[tuple[Tensor, Tensor]] = [(k, theta_q[name]) for name, k in self.encoder.named_parameters()]
        copies: list[tuple[Tensor, Tensor]] = []
        for name, buffer in self.encoder.named_buffers():
            averaged = self.key_norm == "ema" and buffer.is_floating_point()
            (pairs if averaged else copies).append((buffer, buffers_q[name]))
        theta_k, theta = [k for k, _ in pairs], [q for _, q in pairs]
        if isinstance(m, Tensor):  # a captured step reads it anew; one weight in a tensor is none of lerp's forms
            towards = torch._foreach_sub(theta, theta_k)
            torch._foreach_mul_(towards, 1 - m)
            torch._foreach_add_(theta_k, towards)
        else:
            torch._foreach_lerp_(theta_k, theta, weight=1.0 - m)
        if copies:
            torch._foreach_copy_([k for k, _ in copies], [q for _, q in copies])

    @torch.no_grad()
    def forward(self, images: Tensor, output: str = "embed") -> Tensor:
        """What the encoder's method ``output`` makes of images (B, 3, S, S): (B, D)."""
        embed = getattr(self.encoder, output)
        if self.key_norm != "shuffle" or not self.training:
            return embed(images)
        groups = self._groups(len(images))
        if distributed.world_size() > 1 and torch.is_autocast_enabled(images.device.type):
            images = images.to(torch.get_autocast_dtype(images.device.type))  # half the bytes; the first layer would
        # Batches arrive in random order, so dealing them out mixes them as well as a drawn permutation, over the
        # processes as within one; and the groups are those that one process would make.
        dealt = distributed.deal(images)
        order = torch.arange(len(dealt), device=images.device).view(-1, groups).T.flatten()  # 0, G, 2 G, ..., 1, G + 1
        with GroupedBatchNorm(groups):
            keys = embed(dealt[order])
        return distributed.collect(keys[order.argsort()])

    def queries(self, count: int) -> AbstractContextManager:
        """The context in which a batch of ``count`` queries goes through the query encoder.

        With ``key_norm="shuffle"`` their BatchNorm sees groups of neighbours in the batch, of which a key's group has
        a few only: what the statistics of a group tell of its images does not help to find a query's own key.
        """
        if self.key_norm != "shuffle" or not self.training:
            return nullcontext()
        return GroupedBatchNorm(self._groups(count))

    def _groups(self, images: int) -> int:
        """The most groups of ``SHUFFLE_GROUP`` or more, all of one size, that a batch can be divided into."""
        most = images // SHUFFLE_GROUP
        groups = next((g for g in range(most, 1, -1) if images % g == 0), 1)
        if groups == 1 and not self._warned:
            self._warned = True
            LOGGER.warning(
                "--key-norm shuffle: a batch of %d in one process cannot be divided into equal groups of %d images or "
                "more, so BatchNorm sees it whole; use --batch-size %d or another multiple of %d per process",
                images, SHUFFLE_GROUP, max(2, most) * SHUFFLE_GROUP, SHUFFLE_GROUP,
            )  # fmt: skip
        return groups


def _as_now(encoder: MomentumEncoder, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename a state of dermssl 0.1.0, which called the copy ``average.module`` and kept all of it."""
    unneeded = tuple(f"{prefix}encoder.{name}." for name in encoder.without)
    for name in list(state):
        value, now = state.pop(name), name.replace(f"{prefix}average.module.", f"{prefix}encoder.", 1)
        if not now.startswith(unneeded):
            state[now] = value


def momentum_at(progress: float, start: float, schedule: str) -> float:
    """m at a share ``progress`` of a run: ``start``, or raised from it to 1 along a half cosine."""
    if schedule == "constant":
        return start
    return start + (1 - start) * (1 - math.cos(math.pi * progress)) / 2
