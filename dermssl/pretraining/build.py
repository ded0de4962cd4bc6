"""From a configuration to a trainer: task, views, random states."""

from typing import Any

import torch
from torch import nn

from dermssl.data.augment import TwoViews, ViewPolicy
from dermssl.data.loader import Loader
from dermssl.methods.registry import METHODS
from dermssl.pretraining.config import PretrainConfig
from dermssl.pretraining.resolved import Resolved
from dermssl.pretraining.trainer import Trainer


def build_trainer(
    config: PretrainConfig, resolved: Resolved, backbone: nn.Module, loader: Loader, dtype: torch.dtype
) -> Trainer:
    """The trainer of a run at step 0. Seeds torch's global generators, which dropout draws from."""
    torch.manual_seed(config.seed)
    task: Any = METHODS[config.method](
        backbone,
        queue_size=config.queue_size,
        temperature=config.temperature,
        momentum=resolved.momentum,
        rotation_weight=config.rotation_weight,
        rotation_activation=config.rotation_activation,
        key_norm=config.key_norm,
    )
    task.to(loader.device)
    for module in task.children():  # the task itself refuses a memory format (timm 1.0.27)
        module.to(memory_format=torch.channels_last)
    views = TwoViews(
        resolved.image_size,
        view_policy(config),
        resolved.mean,
        resolved.std,
        torch.Generator(loader.device).manual_seed(config.seed),
        rotate_query=task.rotates_query,
    )
    return Trainer(
        config,
        task,
        loader,
        views,
        lr=resolved.lr,
        momentum=resolved.momentum,
        warmup_epochs=resolved.warmup_epochs,
        dtype=dtype,
    )


def view_policy(config: PretrainConfig) -> ViewPolicy:
    """The augmentation that a configuration asks for."""
    return ViewPolicy(
        crop_scale=config.crop_scale,
        flip=config.flip,
        brightness=config.brightness,
        contrast=config.contrast,
        saturation=config.saturation,
        hue=config.hue,
        grayscale=config.grayscale,
    )
