"""Which image sizes a model takes: asked of timm on torch's meta device, where nothing is computed."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dermssl.backbones.borrowed import borrowed
from dermssl.backbones.facts import own_image_size, pretrained_cfg
from dermssl.errors import DermsslError
from dermssl.options import LARGEST_EDGE, check

# How far from the asked size others are tried for the message, in multiples of the steps that architectures have.
_STEPS = (32, 14, 16, 8)


def resolve_image_size(model: nn.Module, image_size: int | None, *, adapt: bool = False) -> int:
    """``image_size``, or the model's own, once it is known that the model takes it.

    Args:
        model: a timm model.
        image_size: edge in pixels; None for the model's own.
        adapt: change a model of one fixed size (position embeddings) to ``image_size``.

    Raises:
        DermsslError: the size is out of range, or the model does not take it; the message names sizes that work.
    """
    own = own_image_size(model)
    size = own if image_size is None else image_size
    check("image_size", size, least=1, most=LARGEST_EDGE)
    if image_size is None:
        return own
    refused = partial(_refusal_as_it_stands, model, adapt=adapt)
    if (why := refused(size)) is not None:
        sizes = others_said(refused, size, own)
        raise DermsslError(f"--image-size {size}: this backbone cannot take it ({why}){sizes}")
    if adapt and size != own and hasattr(model, "set_input_size"):
        model.set_input_size(img_size=(size, size))  # type: ignore[operator]
    return size


def refusal(model: nn.Module, size: int, *, adapt: bool = False, training: bool = False) -> str | None:
    """Why a model does not take square images of ``size`` pixels, in its own words; None where it does.

    The model itself is left as it is: a copy without values is asked.

    Args:
        adapt: whether the model may be changed to that size.
        training: ask it in training mode, of two images.
    """
    try:
        empty = _without_values(model)
        if adapt and size != own_image_size(model) and hasattr(empty, "set_input_size"):
            empty.set_input_size(img_size=(size, size))  # type: ignore[operator]
            empty.to("meta")
        empty.train(training)
        with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device("meta"):
            output = empty(torch.zeros(1 + training, 3, size, size, device="meta"))
    except Exception as error:  # timm's architectures fail in every way there is
        return first_line(error)
    if not isinstance(output, Tensor):
        return f"its output is a {type(output).__name__}, not one vector per image"
    if output.ndim != 2:
        return f"its output is of shape {tuple(output.shape)}, not one vector per image"
    if 0 in output.shape:
        return "nothing is left of the image in its last stage"
    return None


def _refusal_as_it_stands(model: nn.Module, size: int, *, adapt: bool) -> str | None:
    """As ``refusal``; a model that was made for one size and cannot be changed is asked with values, too.

    Its tables of positions (mvitv2) may be too short for other images, which shows only where they are read.
    """
    why = refusal(model, size, adapt=adapt)
    fixed = pretrained_cfg(model).get("fixed_input_size") and not (adapt and hasattr(model, "set_input_size"))
    if why is not None or not fixed or size == own_image_size(model):
        return why
    parameter = next(model.parameters())
    try:
        with borrowed(model), torch.no_grad():
            model(torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype))
    except (IndexError, RuntimeError, ValueError, AssertionError) as error:
        return first_line(error)
    return None


def _without_values(model: nn.Module) -> nn.Module:
    """A copy in eval mode on the meta device; its parameters have shapes and no memory."""
    shared: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        empty = torch.empty_like(tensor, device="meta")
        shared[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(model, shared).eval()


def others_said(refused: Callable[[int], str | None], size: int, own: int) -> str:
    """The sizes near ``size``, and the model's own, that are not refused; for the end of a message."""
    near = {own}
    for step in _STEPS:
        lower = size // step * step
        near |= {lower + step * k for k in (-1, 0, 1, 2)}
    tried = sorted((s for s in near if 1 <= s <= LARGEST_EDGE and s != size), key=lambda s: abs(s - size))[:12]
    work = sorted(s for s in {*tried, own} if refused(s) is None)
    return f"; sizes that work: {', '.join(map(str, work))}" if work else ""


def first_line(error: BaseException) -> str:
    """What an error says, without what follows."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
