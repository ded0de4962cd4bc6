"""CAM and Grad-CAM of a timm model: how much each position of the last map counts for a class or for the features."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dermssl.backbones.borrowed import borrowed
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import MAPS


@dataclass(frozen=True)
class _Pass:
    """A forward pass, kept where the maps need it.

    Attributes:
        features: what ``forward_features`` gives, for the head.
        last: the same as a grid, (n, h, w, C).
        inner: where Grad-CAM's gradient is taken, as the network holds it; ``last`` before its shape was changed,
            except in networks that read a class token.
        pooled: (n, C), the mean over the positions, or the class token before the last normalisation.
    """

    features: Tensor
    last: Tensor
    inner: Tensor
    pooled: Tensor


def activation_maps(
    model: Any, inputs: Tensor, *, method: str = "gradcam", target: int | Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """The map of every image, and what a classifier says of it.

    *CAM* (Zhou et al. 2016, equation 2) of a class: the classifier's weights times the features at each position; a
    head with more than one layer is applied to each position as if it were the whole image. *Grad-CAM* (Selvaraju et
    al. 2017, equations 1 and 2): the features at each position times the mean gradient of the class score, negative
    values cut off. For global average pooling and a linear head the two agree up to that cut and a factor.

    Without a class the score is half the squared length of the pooled features z, so a position counts by
    its part of z . z: CAM is then z times the features at each position, and the mean of its values is the squared
    length itself.

    In a network that reads a class token (ViT), no position of the last layer's output reaches the score. Grad-CAM
    looks at what enters the attention of the last block, and z is the class token before the last normalisation:
    behind it every image's token has nearly the same length.

    Args:
        model: a timm model in eval mode.
        inputs: (n, 3, S, S), normalised, on the model's device.
        method: ``"gradcam"`` or ``"cam"``.
        target: class to look for, one or one per image (n,); ``-1`` for the predicted one; ``None`` for no class.

    Returns:
        (n, h, w) float32 maps, not scaled; and the logits (n, classes), or ``None`` without a class.

    Raises:
        DermsslError: the architecture has no single map of features, or no linear classifier where CAM needs it.
    """
    if method not in MAPS:
        raise DermsslError(f"--method {method}: unknown; use one of {', '.join(MAPS)}")
    # inference without gradients would do for CAM, but one path is easier to trust than two
    with torch.enable_grad():
        state = _forward(model, inputs.detach().requires_grad_())
        logits: Any = None
        index = None
        if target is not None:
            logits = model.forward_head(state.features)
            predicted = isinstance(target, int) and target < 0
            index = (logits.argmax(dim=1) if predicted else torch.as_tensor(target)).to(logits.device)
            index = index.expand(len(inputs))
        if method == "gradcam":
            score = 0.5 * (state.pooled**2) if index is None else logits.gather(1, index[:, None])
            (gradient,) = torch.autograd.grad(score.sum(), state.inner)
            weight = _grid(model, gradient).mean(dim=(1, 2))  # equation 1
            maps = torch.einsum("nhwc,nc->nhw", _grid(model, state.inner), weight).relu()  # equation 2
        elif index is None:
            z = state.features[:, 0] if _reads_token(model) else state.pooled
            maps = torch.einsum("nhwc,nc->nhw", state.last, z)
        else:
            maps = _class_scores(model, state, index)
    return maps.detach().float(), None if logits is None else logits.detach().float()


@torch.no_grad()
def positions(model: Any, image_size: int) -> int:
    """How many positions the shorter side of the last map has for square images of ``image_size`` pixels.

    Raises:
        DermsslError: the architecture has no single map of features.
    """
    parameter = next(model.parameters())
    image = torch.zeros(1, 3, image_size, image_size, device=parameter.device, dtype=parameter.dtype)
    with borrowed(model):
        return min(_grid(model, model.forward_features(image)).shape[1:3])


def _forward(model: Any, inputs: Tensor) -> _Pass:
    seen: dict[str, Tensor] = {}
    hooks = []
    if _reads_token(model):
        hooks = [
            model.blocks[-1].norm1.register_forward_hook(lambda _m, _i, output: seen.update(inner=output)),
            model.norm.register_forward_pre_hook(lambda _m, arguments: seen.update(token=arguments[0])),
        ]
    try:
        features = model.forward_features(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    last = _grid(model, features)
    pooled = seen["token"][:, 0] if "token" in seen else last.mean(dim=(1, 2))
    return _Pass(features, last, seen.get("inner", features), pooled)


def _reads_token(model: Any) -> bool:
    """Whether the head reads a class token, and the positions only through attention."""
    return (
        getattr(model, "global_pool", None) == "token"
        and hasattr(getattr(model, "blocks", [None])[-1], "norm1")
        and isinstance(getattr(model, "norm", None), nn.Module)
    )


def _grid(model: Any, features: Any) -> Tensor:
    """Features of whatever layout as (n, h, w, C); class and register tokens are left out."""
    if isinstance(features, Tensor) and features.ndim == 4:
        last = getattr(model, "output_fmt", "") == "NHWC" or (
            features.shape[3] == model.num_features != features.shape[1]
        )
        return features if last else features.permute(0, 2, 3, 1)
    if isinstance(features, Tensor) and features.ndim == 3:
        tokens = features.shape[1]
        size = getattr(getattr(model, "patch_embed", None), "grid_size", None)
        for prefix in (getattr(model, "num_prefix_tokens", 1), 0):
            edge = math.isqrt(max(tokens - prefix, 0))
            for h, w in [*([tuple(size)] if size else []), (edge, edge)]:
                if h * w == tokens - prefix > 0:
                    return features[:, prefix:].unflatten(1, (h, w))
    shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    raise DermsslError(
        f"{type(model).__name__}: its features ({shape}) are not one map over the image, so it has no activation map"
    )


def _class_scores(model: Any, state: _Pass, target: Tensor) -> Tensor:
    """(n, h, w): the score of the class at each position, less the classifier's bias."""
    classifier = model.get_classifier()
    pointwise = isinstance(classifier, nn.Conv2d) and classifier.kernel_size == (1, 1)
    if not isinstance(classifier, nn.Linear) and not pointwise:
        raise DermsslError(
            f"--method cam: the classifier of {type(model).__name__} is not one linear layer; use --method gradcam"
        )
    n, h, w, _ = state.last.shape
    # each position as an image of its own, in the layout of the network
    alone = state.last.flatten(0, 2)
    if state.features.ndim == 3:
        alone = alone[:, None]
        if getattr(model, "global_pool", "") not in ("token", "map"):  # the mean leaves the first tokens out
            alone = alone.expand(-1, 1 + getattr(model, "num_prefix_tokens", 0), -1)
    elif state.last is state.features:  # channels last
        alone = alone[:, None, None]
    else:
        alone = alone[:, :, None, None]
    features = model.forward_head(alone, pre_logits=True).flatten(1).unflatten(0, (n, h, w))
    return torch.einsum("nhwc,nc->nhw", features, classifier.weight.flatten(1)[target])
