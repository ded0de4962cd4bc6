"""What is known of a timm model: its edge, normalisation, framing, interpolation, feature width and name."""

from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from dermssl.backbones.borrowed import borrowed
from dermssl.errors import DermsslError

# How a photograph becomes square: the whole of it, stretched, or its middle square.
Framing = Literal["squash", "crop"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# How images are resized for every evaluation, and so what an export tells timm to do.
INTERPOLATION = "bilinear"


def pretrained_cfg(model: nn.Module) -> dict[str, Any]:
    """The configuration that timm attached to a model (input size, mean, std, classifier, ...); empty if there is none.

    The dictionary is the model's own: a change of it is a change of the model.
    """
    return cast(dict[str, Any], getattr(model, "pretrained_cfg", None) or {})


def own_image_size(model: nn.Module) -> int:
    """Edge in pixels of the square images that the model takes as it stands.

    A transformer may have been made for, or changed to, another size than the one in its configuration.
    """
    patches = getattr(model, "patch_embed", None)
    for size in (getattr(model, "_traits", {}).get("img_size"), getattr(patches, "img_size", None)):
        if size is not None:
            return int(size[-1])
    return int(pretrained_cfg(model).get("input_size", (3, 224, 224))[-1])


def normalisation(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of the pixels (fractions of 1) that the model expects; ImageNet's if it names none."""
    config = pretrained_cfg(model)
    mean, std = tuple(config.get("mean") or IMAGENET_MEAN), tuple(config.get("std") or IMAGENET_STD)
    for name, values in (("mean", mean), ("std", std)):
        least = 0 if name == "mean" else 1e-6
        if not all(isinstance(value, int | float) and least <= value <= 1e6 for value in values):
            raise DermsslError(
                f"the configuration of these weights is damaged: {name} {values!a}, not fractions of 1; restore it, or "
                "export them again"
            )
    return mean, std


def framing(model: nn.Module) -> Framing:
    """How a photograph becomes square for this model: as its weights were trained, ``"squash"`` where none were.

    timm's ``crop_mode="center"`` is our ``"crop"``; everything else keeps the whole photograph.
    """
    return "crop" if pretrained_cfg(model).get("crop_mode") == "center" else "squash"


def crop_mode(fit: str) -> str:
    """timm's name for a framing."""
    return "center" if fit == "crop" else "squash"


def name_of(weights: str | Path | nn.Module) -> str:
    """What a report calls the weights."""
    if not isinstance(weights, nn.Module):
        return str(weights)
    return f"module:{pretrained_cfg(weights).get('architecture') or type(weights).__name__}"


@torch.no_grad()
def feature_width(backbone: nn.Module) -> int:
    """Width of the pooled features, seen in a forward pass.

    ``num_features`` is not it where a model keeps a layer between pooling and classifier (mobilenetv3, vgg,
    ghostnet, efficientvit).

    Raises:
        DermsslError: the output is not one vector per image.
    """
    parameter = next(backbone.parameters())
    size = own_image_size(backbone)
    image = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    try:
        with borrowed(backbone):
            features = backbone(image)
    except RuntimeError as error:
        why = " ".join(str(error).split())
        raise DermsslError(
            f"the backbone takes no images of {size} px, the size in its configuration ({why}); correct input_size "
            "there, or export the weights again"
        ) from error
    if features.ndim != 2:
        raise DermsslError(
            f"the backbone gives features of shape {tuple(features.shape)}, not (batch, width); "
            "create it with num_classes=0 and its default pooling"
        )
    return features.shape[1]
