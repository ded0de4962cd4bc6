"""From a configuration to a trainer: task, views, random states."""

import inspect
import logging
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from dermssl import distributed
from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import pretrained_cfg
from dermssl.backbones.load import load_backbone
from dermssl.backbones.sizes import resolve_image_size
from dermssl.data.augment import TwoViews, ViewPolicy
from dermssl.data.jigsaw import JigsawViews
from dermssl.data.loader import Loader
from dermssl.errors import DermsslError
from dermssl.methods.registry import METHODS
from dermssl.options import flag
from dermssl.pretraining.config import RECIPES, PretrainConfig
from dermssl.pretraining.decided import Resolved
from dermssl.pretraining.trainer import Trainer

LOGGER = logging.getLogger("dermssl")


def starting_backbone(config: PretrainConfig) -> nn.Module:
    """The backbone at step 0: random, or with the weights that ``--init`` names.

    Raises:
        DermsslError: there are no such weights, or they are another architecture's.
    """
    if config.init is None:
        return create_backbone(config.backbone, image_size=config.image_size, seed=config.seed)
    try:
        backbone = load_backbone(config.init, seed=config.seed)
    except DermsslError as error:
        raise DermsslError(f"--init: {error}") from error
    architecture = pretrained_cfg(backbone)["architecture"]
    if architecture != config.backbone.partition(".")[0]:
        raise DermsslError(
            f"--init {config.init}: these are weights of {architecture}, the backbone is {config.backbone}; "
            f"use --backbone {architecture}"
        )
    resolve_image_size(backbone, config.image_size, adapt=True)
    return backbone


def build_trainer(
    config: PretrainConfig, resolved: Resolved, backbone: nn.Module, loader: Loader, dtype: torch.dtype
) -> Trainer:
    """The trainer of a run at step 0. Seeds torch's global generators, which dropout draws from."""
    torch.manual_seed(config.seed)
    task = create_task(config, resolved, backbone)
    if config.sync_bn and distributed.world_size() > 1:
        task = convert_sync_batchnorm(task)
    task.to(loader.device)
    for module in task.children():  # the task itself refuses a memory format (timm 1.0.27)
        module.to(memory_format=torch.channels_last)
    views = create_views(config, resolved, task, torch.Generator(loader.device).manual_seed(config.seed))
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


def distribute(trainer: Trainer) -> None:
    """Average the gradients of all ranks from now on. All ranks must come here."""
    if distributed.world_size() == 1:
        return
    gpu = [trainer.device.index] if trainer.device.type == "cuda" else None
    # A static graph: parameters that a backbone does not use are no error.
    trainer.task.prepare_distributed(device_ids=gpu, static_graph=True)


def create_task(config: PretrainConfig, resolved: Resolved, backbone: nn.Module) -> Any:
    """The method, with those of the options that it names among its own."""
    offered: dict[str, Any] = {
        "images": resolved.images,
        "queue_size": config.queue_size,
        "temperature": config.temperature,
        "momentum": resolved.momentum,
        "rotation_weight": config.rotation_weight,
        "rotation_activation": config.rotation_activation,
        "key_norm": config.key_norm,
    }
    method: Any = METHODS[config.method]
    wanted = inspect.signature(method).parameters
    usual = {**vars(PretrainConfig), **RECIPES[config.recipe]}  # what nobody asked for by name
    unused = [n for n in offered if n not in wanted and getattr(config, n, None) != usual.get(n)]
    if unused:
        LOGGER.info("%s has no use for %s", config.method, ", ".join(map(flag, unused)))
    return method(backbone, **{name: value for name, value in offered.items() if name in wanted})


def create_views(
    config: PretrainConfig, resolved: Resolved, task: Any, generator: torch.Generator
) -> TwoViews | JigsawViews:
    """The maker of the views that the task asks for."""
    common = (resolved.image_size, view_policy(config), resolved.mean, resolved.std, generator)
    if task.views == "jigsaw":
        # a backbone made for one size (most ViTs) must get its patches at that size
        fixed = pretrained_cfg(task.backbone).get("fixed_input_size")
        return JigsawViews(*common, patch_size=resolved.image_size if fixed else None)
    return TwoViews(*common, rotate_query=task.rotates_query, with_key=task.views == "two")


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
