"""lightly's MoCo v2 as its documentation shows it: what our training is compared with."""

import copy
import itertools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from torch import nn

from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import feature_width
from dermssl.pretraining.config import make_config
from dermssl.pretraining.optimizer import scaled_lr


class LightlyMoco:
    """Its MoCoV2Transform on image files in a DataLoader, its projection head, its NTXentLoss with a memory bank.

    Args:
        images: folder of image files.
        backbone: a timm name.
        image_size: edge of the views in pixels.
        batch: images per step.
        queue: keys in the memory bank.
        device, dtype: where, and in which precision.
        ours: with the optimizer and the colours of ``dermssl pretrain --recipe short``: AdamW, a warm-up and a half
            cosine, and no blur. As documented: SGD at a constant rate.
        workers: of the DataLoader; default: one per core.
        prefetch: batches that each of them makes ahead.

    Attributes:
        ahead: batches that may be ready after a pause.
    """

    def __init__(
        self,
        images: str,
        backbone: str,
        *,
        image_size: int,
        batch: int,
        queue: int,
        device: torch.device,
        dtype: torch.dtype,
        ours: bool = False,
        workers: int | None = None,
        prefetch: int = 2,
    ) -> None:
        from lightly.data import LightlyDataset
        from lightly.loss import NTXentLoss
        from lightly.models.modules import MoCoProjectionHead
        from lightly.models.utils import deactivate_requires_grad
        from lightly.transforms import MoCoV2Transform

        self.device, self.dtype, self.ours = device, dtype, ours
        self.backbone = create_backbone(backbone, image_size=image_size)
        width = feature_width(self.backbone)
        self.query = nn.Sequential(self.backbone, MoCoProjectionHead(width, width, 128)).to(device)
        self.key = copy.deepcopy(self.query)
        deactivate_requires_grad(self.key)
        self.criterion = NTXentLoss(temperature=0.2, memory_bank_size=(queue, 128)).to(device)
        if ours:
            short = make_config(recipe="short")
            self.optimizer = create_optimizer_v2(
                self.query, opt=short.opt, lr=scaled_lr(short, batch), weight_decay=short.weight_decay
            )
            transform = MoCoV2Transform(
                input_size=image_size,
                cj_bright=short.brightness,
                cj_contrast=short.contrast,
                cj_sat=short.saturation,
                cj_hue=short.hue,
                random_gray_scale=short.grayscale,
                gaussian_blur=0.0,
            )
        else:
            self.optimizer = torch.optim.SGD(self.query.parameters(), lr=0.06, momentum=0.9, weight_decay=1e-4)
            transform = MoCoV2Transform(input_size=image_size)
        self._peaks = [group["lr"] for group in self.optimizer.param_groups]
        workers = (os.cpu_count() or 1) if workers is None else workers
        self.ahead = workers * prefetch
        self.loader: Any = torch.utils.data.DataLoader(
            LightlyDataset(images, transform=transform),
            batch_size=batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=prefetch if workers else None,
            pin_memory=device.type == "cuda",
        )
        self.batches = endless(self.loader)
        self._ready: torch.Tensor | None = None
        self._shape = (2, batch, 3, image_size, image_size)

    def loss_of(self, view_q: torch.Tensor, view_k: torch.Tensor) -> torch.Tensor:
        """Of two views."""
        # torch's own, which leaves TF32 on where torch has it on
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            q = self.query(view_q)
            with torch.no_grad():
                k = self.key(view_k)
            return self.criterion(q.float(), k.float())

    def train(self, steps: int, progress: Callable[[], float] = lambda: 0.0) -> None:
        """So many steps. With ``ours`` the rate follows ``progress``, the share of the run that is done."""
        from lightly.models.utils import update_momentum

        for _ in range(steps):
            (view_q, view_k), _, _ = next(self.batches)
            update_momentum(self.query, self.key, m=0.99)
            loss = self.loss_of(view_q.to(self.device, non_blocking=True), view_k.to(self.device, non_blocking=True))
            if self.ours:
                factor = rate_at(progress())
                for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
                    group["lr"] = peak * factor
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def network(self, steps: int) -> None:
        """Forward and backward alone, on a batch that is there."""
        if self._ready is None:
            self._ready = torch.randn(*self._shape, device=self.device)
        for _ in range(steps):
            self.loss_of(*self._ready).backward()
            self.query.zero_grad()


def rate_at(progress: float) -> float:
    """Share of the peak: a warm-up over a twentieth of the run, then a half cosine."""
    if progress < 0.05:
        return max(0.01, progress / 0.05)
    return (1 + math.cos(math.pi * min(1.0, progress))) / 2


def endless(loader: Any) -> Iterator[Any]:
    """Epoch after epoch."""
    return itertools.chain.from_iterable(itertools.repeat(loader))
