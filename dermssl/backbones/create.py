"""Any timm architecture as a backbone with fresh weights, without its classifier."""

import difflib
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg_value, is_model
from torch import nn

from dermssl.backbones.facts import pretrained_cfg
from dermssl.errors import DermsslError


def create_backbone(name: str, *, image_size: int | None = None, seed: int = 0) -> nn.Module:
    """A timm model with fresh weights and without classifier (``num_classes=0``).

    Args:
        name: architecture as timm lists it, e.g. ``"resnet18"``.
        image_size: edge of the images in pixels, for architectures whose weights depend on it (ViTs); default: the
            model's own.
        seed: of the initial weights; the global random state is left as it was.

    Raises:
        DermsslError: timm has no such model; the message names close ones.
    """
    if not is_model(name.split(".")[0]):
        close = difflib.get_close_matches(name, timm.list_models(), n=4)
        hint = f"; did you mean {', '.join(close)}?" if close else "; timm.list_models() lists all"
        raise DermsslError(f"--backbone {name}: timm has no such model{hint}")
    architecture, _, tag = name.partition(".")
    if tag and name not in timm.list_pretrained(f"{architecture}.*"):
        raise DermsslError(f"--backbone {name}: timm knows no weights {tag!r} of it; use --backbone {architecture}")
    options: dict[str, Any] = (
        {"img_size": image_size} if image_size and get_pretrained_cfg_value(name, "fixed_input_size") else {}
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = timm.create_model(name, pretrained=False, num_classes=0, **options)
    # timm's value belongs to weights that are not these; nothing was trained here, so nothing is cut off
    pretrained_cfg(model)["crop_mode"] = "squash"
    return model
