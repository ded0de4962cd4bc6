"""What "default" and "auto" came to in one run: written to its ``config.json``."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from dermssl import distributed
from dermssl.backbones.facts import normalisation, own_image_size
from dermssl.data.loader import Loader
from dermssl.devices import out_of_memory_named, precision_name
from dermssl.pretraining.config import PretrainConfig
from dermssl.pretraining.optimizer import scaled_lr


@dataclass(frozen=True)
class Resolved:
    """The values a run really used.

    Attributes:
        images: in an epoch's pool (before the last, incomplete batch is dropped).
        steps: updates of the whole run.
        mean, std: normalisation of RGB in [0, 1]: those of the backbone's timm configuration.
        lr: of the optimizer at its peak.
        momentum: m of the momentum encoder at the start.
        queue_size: number of keys kept as negatives, in the methods that keep a queue.
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
    queue_size: int
    warmup_epochs: float
    eval_every: int
    device: str
    precision: str
    processes: int

    def out_of_memory_named(self) -> AbstractContextManager[None]:
        """Errors for too little memory in the body name the options to change, once."""
        note = " (in another --output, as they change what is learned)"
        return out_of_memory_named(self.device, self.batch_size, self.image_size, note=note)


def resolve(
    config: PretrainConfig, loader: Loader, backbone: nn.Module, dtype: torch.dtype, lr: float | None = None
) -> Resolved:
    """Fill in what the configuration leaves open; a run that goes on has its ``lr`` already."""
    steps = config.epochs * len(loader)
    mean, std = normalisation(backbone)
    return Resolved(
        images=len(loader.images),
        batch_size=loader.batch_size,
        steps=steps,
        image_size=image_size(config, backbone),
        mean=mean,
        std=std,
        lr=lr or scaled_lr(config, loader.batch_size),
        momentum=default_momentum(steps) if config.momentum is None else config.momentum,
        queue_size=config.queue_size or default_queue_size(len(loader.images), loader.batch_size, steps),
        warmup_epochs=min(10.0, config.epochs / 20) if config.warmup_epochs is None else config.warmup_epochs,
        eval_every=config.eval_every or max(1, config.epochs // 10),
        device=str(loader.device),
        precision=precision_name(dtype),
        processes=distributed.world_size(),
    )


def image_size(config: PretrainConfig, backbone: nn.Module) -> int:
    """Edge of the views in pixels: as given, or the backbone's own."""
    return config.image_size or own_image_size(backbone)


def batch_size(config: PretrainConfig, device: torch.device) -> int:
    """Images per step: as given, or what fits the device."""
    return config.batch_size or (512 if device.type == "cuda" else 128)


def default_momentum(steps: int) -> float:
    """Momentum whose memory, 1 / (1 - m) steps, is a thirteenth of the run, within [100, 1000].

    0.99 up to 1,300 steps; 0.999 from 13,000 on, which are the paper's 200 epochs of 65 steps.
    """
    return 1 - 1 / min(1000.0, max(100.0, steps / 13))


def default_queue_size(images: int, batch_size: int, steps: int) -> int:
    """The largest power of two within the paper's 8192, the number of images and what a 32nd of the run makes.

    With more keys than images most would be of images that the queue holds already; and keys that are older than a
    32nd of the run were made by an encoder that has little in common with today's: of 312 steps of 128 images the best
    was 1,024 keys, after 13,000 steps of 512 the paper's best is 8,192
    (docs/measurements/decisions.md). Four batches are always allowed.
    """
    most = min(8192, images, max(4 * batch_size, batch_size * steps // 32))
    return 1 << (most.bit_length() - 1)
