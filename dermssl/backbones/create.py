"""Any timm architecture as a backbone with fresh weights, without its classifier."""

import difflib
from functools import partial
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg_value, is_model
from torch import nn

from dermssl.backbones.facts import pretrained_cfg
from dermssl.backbones.sizes import first_line, others_said, refusal
from dermssl.errors import DermsslError


def create_backbone(name: str, *, image_size: int | None = None, seed: int = 0) -> nn.Module:
    """A timm model with fresh weights and without a classifier (``num_classes=0``).

    Args:
        name: architecture as timm lists it, e.g. ``"resnet18"``.
        image_size: edge of the images in pixels; default: the model's own. Architectures whose weights depend on it
            (most ViTs) are made for it.
        seed: of the initial weights; the global random state is left as it was.

    Raises:
        DermsslError: timm has no such model (the message names close ones), cannot make it without a classifier, or
            it does not take images of that size (the message names sizes that work).
    """
    if not is_model(name.split(".")[0]):
        close = difflib.get_close_matches(name, timm.list_models(), n=4)
        hint = f"; did you mean {', '.join(close)}?" if close else "; timm.list_models() lists all"
        raise DermsslError(f"--backbone {name}: timm has no such model{hint}")
    architecture, _, tag = name.partition(".")
    if tag and name not in timm.list_pretrained(f"{architecture}.*"):
        raise DermsslError(f"--backbone {name}: timm knows no weights {tag!r} of it; use --backbone {architecture}")
    refused = partial(_refusal_when_made, name)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = _made(name, image_size)
        if not _made_for_a_size(name):
            refused = partial(refusal, model)
        why = None if image_size is None else refusal(model, image_size)
    except Exception as error:  # timm's architectures fail in every way there is
        if image_size is None:
            raise DermsslError(
                f"--backbone {name}: timm cannot make it without a classifier ({first_line(error)}); use another one"
            ) from error
        why = first_line(error)
    if why is not None and image_size is not None:
        own = (get_pretrained_cfg_value(name, "input_size") or (3, 224, 224))[-1]
        sizes = others_said(refused, image_size, own)
        raise DermsslError(f"--image-size {image_size}: {name} cannot take it ({why}){sizes}")
    # timm's value belongs to weights that are not these; nothing was trained here, so nothing is cut off
    pretrained_cfg(model)["crop_mode"] = "squash"
    return model


def _made(name: str, image_size: int | None) -> nn.Module:
    options: dict[str, Any] = {"img_size": image_size} if image_size and _made_for_a_size(name) else {}
    return timm.create_model(name, pretrained=False, num_classes=0, **options)


def _made_for_a_size(name: str) -> bool:
    """Whether the weights of an architecture depend on the size of the images."""
    return bool(get_pretrained_cfg_value(name, "fixed_input_size"))


def _refusal_when_made(name: str, size: int) -> str | None:
    """Why an architecture cannot be made for images of ``size``; no values are computed."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = _made(name, size)
    except Exception as error:
        return first_line(error)
    return refusal(model, size)
