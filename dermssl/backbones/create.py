"""Any timm model as a backbone: created without its classifier, its feature width measured."""

import difflib
from typing import Any, cast

import timm
import torch
from timm.models import get_pretrained_cfg_value, is_model
from torch import nn

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
    options: dict[str, Any] = (
        {"img_size": image_size} if image_size and get_pretrained_cfg_value(name, "fixed_input_size") else {}
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return timm.create_model(name, pretrained=False, num_classes=0, **options)


def pretrained_cfg(backbone: nn.Module) -> dict[str, Any]:
    """The configuration that timm attached to a model: input size, mean, std, classifier, ..."""
    return cast(dict[str, Any], backbone.pretrained_cfg)


def default_image_size(backbone: nn.Module) -> int:
    """Edge in pixels of the square images that the model's weights are made for."""
    patches = getattr(backbone, "patch_embed", None)  # a ViT may have been made for another size than its default
    size = getattr(patches, "img_size", None) or pretrained_cfg(backbone)["input_size"]
    return size[-1]


@torch.no_grad()
def feature_width(backbone: nn.Module) -> int:
    """Width of the pooled features, seen in a forward pass.

    ``num_features`` is not it where a model keeps a layer between pooling and classifier (mobilenetv3, vgg,
    ghostnet, efficientvit).
    """
    was_training = backbone.training
    parameter = next(backbone.parameters())
    size = default_image_size(backbone)
    image = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    features = backbone.eval()(image)
    backbone.train(was_training)
    if features.ndim != 2:
        raise DermsslError(
            f"the backbone gives features of shape {tuple(features.shape)}, not (batch, width); "
            "create it with num_classes=0 and its default pooling"
        )
    return features.shape[1]
