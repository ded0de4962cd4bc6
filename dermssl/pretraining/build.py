"""From a configuration to a trainer: task, views, random states."""

import inspect
import logging
from typing import Any

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from dermssl import distributed
from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import own_image_size, pretrained_cfg
from dermssl.backbones.load import load_backbone
from dermssl.backbones.sizes import refusal, resolve_image_size
from dermssl.data.augment import TwoViews, crop_edge
from dermssl.data.jigsaw import JigsawViews, patch_edge
from dermssl.data.loader import Loader
from dermssl.errors import DermsslError
from dermssl.methods.registry import METHODS
from dermssl.options import flag, said_of
from dermssl.pretraining.compiled import compile_step
from dermssl.pretraining.config import PretrainConfig, make_config
from dermssl.pretraining.decided import Resolved, image_size
from dermssl.pretraining.graphs import LARGEST, CudaGraph, can_be_captured
from dermssl.pretraining.trainer import Trainer

LOGGER = logging.getLogger("dermssl")


def starting_backbone(config: PretrainConfig) -> nn.Module:
    """The backbone at step 0: random, or with the weights that ``--init`` names.

    Raises:
        DermsslError: there are no such weights, they are another architecture's, or it does not take such images.
    """
    if config.init is None:
        backbone = create_backbone(config.backbone, image_size=config.image_size, seed=config.seed)
        _refuse_untrainable(config, backbone)
        return backbone
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
    size, own = resolve_image_size(backbone, config.image_size, adapt=True), own_image_size(backbone)
    if size != own and pretrained_cfg(backbone).get("fixed_input_size") and not hasattr(backbone, "set_input_size"):
        raise DermsslError(
            f"--image-size {size}: the weights of --init {config.init} are for {own} px, and timm cannot change "
            f"{architecture} to another size; leave the option out"
        )
    _refuse_untrainable(config, backbone)
    return backbone


def _refuse_untrainable(config: PretrainConfig, backbone: nn.Module) -> None:
    """Refuse a backbone that gives no features of a batch in training, or at its own size."""
    size = image_size(config, backbone)
    for training in (False, True):
        if (why := refusal(backbone, size, training=training)) is not None:
            raise DermsslError(
                f"--backbone {config.backbone}: gives no features of images of {size} px ({why}); use another one"
            )


def build_trainer(
    config: PretrainConfig,
    resolved: Resolved,
    backbone: nn.Module,
    loader: Loader,
    dtype: torch.dtype,
    aspects: np.ndarray | None = None,
) -> Trainer:
    """The trainer of a run at step 0. Seeds torch's global generators, which dropout draws from.

    ``aspects`` are the aspect ratios of the loader's images, as their cache knows them.
    """
    torch.manual_seed(config.seed)
    task = create_task(config, resolved, backbone)
    if config.sync_bn and distributed.world_size() > 1:
        task = convert_sync_batchnorm(task)
    task.to(loader.device)
    for module in task.children():  # the task itself refuses a memory format (timm 1.0.27)
        module.to(memory_format=torch.channels_last)
    generator = torch.Generator(loader.device).manual_seed(config.seed)
    views = create_views(config, resolved, task, generator, aspects)
    compile_step(task, views, config.compile, loader.device, dtype)
    trainer = Trainer(
        config,
        task,
        loader,
        views,
        lr=resolved.lr,
        warmup_epochs=resolved.warmup_epochs,
        dtype=dtype,
    )
    on_one_gpu = loader.device.type == "cuda" and distributed.world_size() == 1
    if on_one_gpu and config.compile != "no" and resolved.image_size <= LARGEST and can_be_captured(trainer.optimizer):
        trainer.capture(CudaGraph(loader.device))
    return trainer


def distribute(trainer: Trainer) -> None:
    """Average the gradients of all ranks from now on. All ranks must come here."""
    if distributed.world_size() == 1:
        return
    gpu = [trainer.device.index] if trainer.device.type == "cuda" else None
    # A static graph: parameters that a backbone does not use are not an error. Buffers are averaged after every step.
    trainer.task.prepare_distributed(device_ids=gpu, static_graph=True, broadcast_buffers=False)


def create_task(config: PretrainConfig, resolved: Resolved, backbone: nn.Module) -> Any:
    """The method, with those of the run's options that its constructor names.

    Raises:
        DermsslError: a value is out of the method's range.
    """
    method: Any = METHODS[config.method]
    decided = {"momentum": resolved.momentum, "queue_size": resolved.queue_size, "images": resolved.images}
    offered = {**vars(config), **(config.method_options or {}), **decided}
    wanted = said_of(method.options())
    of_methods = {name for other in METHODS.values() for name in said_of(other.options())}
    usual = make_config(recipe=config.recipe)  # what nobody asked for by name
    unused = [
        name
        for name in said_of(PretrainConfig)
        if name in of_methods - wanted.keys() and getattr(config, name) != getattr(usual, name)
    ]
    if unused:
        LOGGER.info("%s has no use for %s", config.method, ", ".join(map(flag, unused)))
    if config.queue_size is None and "queue_size" in wanted:
        LOGGER.info(
            "--queue-size %d, which fits %d images and %d steps", resolved.queue_size, resolved.images, resolved.steps
        )
    if config.sync_bn and config.key_norm == "shuffle" and "key_norm" in wanted:
        raise DermsslError("--sync-bn normalises over all images, --key-norm shuffle over groups of them: use one")
    parameters = inspect.signature(method).parameters
    missing = [name for name in wanted if name not in offered and parameters[name].default is inspect.Parameter.empty]
    if missing:
        raise DermsslError(f"--method {config.method} needs {', '.join(map(flag, missing))}")
    try:
        return method(backbone, **{name: offered[name] for name in wanted if name in offered})
    except DermsslError as error:
        raise DermsslError(f"--method {config.method}: {error}") from error


def create_views(
    config: PretrainConfig,
    resolved: Resolved,
    task: Any,
    generator: torch.Generator,
    aspects: np.ndarray | None = None,
) -> TwoViews | JigsawViews:
    """The maker of the views that the task asks for."""
    common = (resolved.image_size, config, resolved.mean, resolved.std, generator)
    if task.views == "jigsaw":
        patch_size = _small_edge(task.backbone, patch_edge(resolved.image_size), resolved.image_size)
        return JigsawViews(*common, patch_size=patch_size, aspects=aspects)
    crop_size = None
    if task.views == "crop":
        crop_size = _small_edge(task.backbone, crop_edge(resolved.image_size), resolved.image_size)
    return TwoViews(
        *common,
        rotate_query=task.rotates_query,
        with_key=task.views != "one",
        with_crop=task.views == "crop",
        crop_size=crop_size,
        aspects=aspects,
    )


def _small_edge(backbone: nn.Module, edge: int, size: int) -> int:
    """Edge of small views: that of the views where the backbone is made for one size (most ViTs), or takes no other."""
    if pretrained_cfg(backbone).get("fixed_input_size") or refusal(backbone, edge, training=True) is not None:
        return size
    return edge
