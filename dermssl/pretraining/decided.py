"""What "default" and "auto" came to in one run: written to its ``config.json``."""

from dataclasses import dataclass

import torch
from torch import nn

from dermssl import distributed
from dermssl.backbones.facts import own_image_size, pretrained_cfg
from dermssl.data.loader import Loader
from dermssl.pretraining.config import PretrainConfig


@dataclass(frozen=True)
class Resolved:
    """The values a run really used.

    Attributes:
        images: in an epoch's pool (before the last, incomplete batch is dropped).
        steps: updates of the whole run.
        mean, std: normalisation of RGB in [0, 1]: those of the backbone's timm configuration.
        lr: of the optimizer at its peak.
        momentum: m of the momentum encoder at the start.
        eval_every: epochs between two KNN evaluations.
        processes: that shared the batches when the run was started; it may go on with more or fewer.
    """

    images: int
    batch_size: int
    steps: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    lr: float
    momentum: float
    warmup_epochs: float
    eval_every: int
    device: str
    precision: str
    processes: int


def resolve(config: PretrainConfig, loader: Loader, backbone: nn.Module, dtype: torch.dtype) -> Resolved:
    """Fill in what the configuration leaves open."""
    steps = config.epochs * len(loader)
    return Resolved(
        images=len(loader.images),
        batch_size=loader.batch_size,
        steps=steps,
        image_size=image_size(config, backbone),
        mean=tuple(pretrained_cfg(backbone)["mean"]),
        std=tuple(pretrained_cfg(backbone)["std"]),
        lr=config.lr * loader.batch_size / config.lr_batch,
        momentum=default_momentum(steps) if config.momentum is None else config.momentum,
        warmup_epochs=min(10.0, config.epochs / 20) if config.warmup_epochs is None else config.warmup_epochs,
        eval_every=config.eval_every or max(1, config.epochs // 10),
        device=str(loader.device),
        precision="bf16" if dtype == torch.bfloat16 else "fp32",
        processes=distributed.world_size(),
    )


def image_size(config: PretrainConfig, backbone: nn.Module) -> int:
    """Edge of the views in pixels: as given, or the backbone's own."""
    return config.image_size or own_image_size(backbone)


def batch_size(config: PretrainConfig, device: torch.device) -> int:
    """Images a step: as given, or what fits the device."""
    return config.batch_size or (512 if device.type == "cuda" else 128)


def default_momentum(steps: int) -> float:
    """Momentum whose memory, 1 / (1 - m) steps, is a thirteenth of the run, within [100, 1000].

    0.99 up to 1,300 steps; 0.999 from 13,000 on, which are the paper's 200 epochs of 65 steps.
    """
    return 1 - 1 / min(1000.0, max(100.0, steps / 13))
