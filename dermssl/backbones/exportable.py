"""Whether what is trained can be given away afterwards: asked of timm before the first step, in memory."""

import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import nn

from dermssl.backbones.save import export_config
from dermssl.backbones.sizes import first_line
from dermssl.backbones.timm_check import check
from dermssl.errors import DermsslError


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def refuse_unexportable(model: nn.Module, **described: Any) -> None:
    """Try on an untrained model what ``dermssl export`` will try on the trained one.

    The model is made again by timm from the configuration that would be written, with its own tensors: as it is, with
    a classifier and as a pyramid. Tensors and features must be the same.

    Args:
        model: made by timm with ``num_classes=0``, on the CPU; it is left as it is.
        **described: as in ``save_backbone``.

    Raises:
        DermsslError: timm would not load these weights; the message says what would be wrong.
    """
    config = export_config(model, **described)
    architecture, arguments = config["architecture"], config.get("model_args", {})
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}

    def create(**options: Any) -> nn.Module:
        cfg = {**copy.deepcopy(config["pretrained_cfg"]), "state_dict": dict(tensors)}
        return timm.create_model(architecture, pretrained=True, pretrained_cfg=cfg, **{**arguments, **options})

    expected = {**config["pretrained_cfg"], "architecture": architecture}
    try:
        with torch.random.fork_rng(devices=[]), _quiet():  # timm warns of what a pyramid leaves out
            problems = check(create, tensors, expected)["problems"]
    except Exception as error:  # timm's architectures fail in every way there is
        problems = [f"{type(error).__name__}: {first_line(error)}"]
    if problems:
        raise DermsslError(
            f"--backbone {architecture}: timm could not load what would be trained, so training does not start: "
            f"{'; '.join(problems)}. Use another backbone"
        )
