"""Gradients of convolutions in bf16 on the CPU that oneDNN computes slowly, or not at all.

It has no fast kernel for two of those of depthwise convolutions: that of a filter larger than 3 x 3, and that of the
input of a strided one (torch 2.14 on AVX512-BF16; docs/measurements/performance.md). EfficientNet, MobileNet and
ConvNeXt are made of such convolutions. And where images are so small that values of a filter meet padding only, it
leaves what its memory held before as their gradient: 3 x 3 by steps of 2 on a map of 1 x 1, as in a ResNet at 16 px,
or 7 x 7 on 2 x 2.
"""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight
from torch.overrides import TorchFunctionMode

FAST = 3  # edge of the largest filter whose gradient oneDNN computes with a kernel of its own

_Pair = tuple[int, int]


class MendedConvolutions(TorchFunctionMode):
    """Within it, slow depthwise convolutions are computed by `_Depthwise`, and those on tiny maps in float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.conv2d and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return _conv2d(*args, **kwargs)
        return func(*args, **kwargs)


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    how = (stride, padding, dilation, groups)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
    if dtype != torch.bfloat16 or input.ndim != 4 or isinstance(padding, str):
        return F.conv2d(input, weight, bias, *how)
    step, pads, apart, filters = _pair(stride), _pair(padding), _pair(dilation), weight.shape[2:]
    if groups == len(weight) == input.shape[1]:
        fast = max(filters) <= FAST and step == (1, 1)
        if fast or apart != (1, 1) or any(pad >= size for pad, size in zip(pads, filters, strict=True)):
            return F.conv2d(input, weight, bias, *how)
        half = [None if tensor is None else tensor.to(dtype) for tensor in (input, weight, bias)]
        result: Tensor = _Depthwise.apply(*half, step, pads)
        return result
    if all(_all_meet_it(*axis) for axis in zip(input.shape[2:], filters, step, pads, apart, strict=True)):
        return F.conv2d(input, weight, bias, *how)
    with torch.autocast("cpu", enabled=False):
        return F.conv2d(input.float(), weight.float(), None if bias is None else bias.float(), *how).to(dtype)


@functools.cache
def _all_meet_it(edge: int, size: int, step: int, pad: int, apart: int) -> bool:
    """Whether each value of a filter meets the image somewhere, not its padding only as on tiny images.

    Args:
        edge: of the image.
        size, step, pad, apart: of the filter: its edge, stride, padding and dilation.
    """
    places = range(-pad, edge + pad - (size - 1) * apart, step)
    return all(any(0 <= place + n * apart < edge for place in places) for n in range(size))


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose gradients use fast kernels only."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, stride: _Pair, padding: _Pair) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(input, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (input, weight), stride, padding = ctx.saved_tensors, ctx.stride, ctx.padding
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        wanted = ctx.needs_input_grad
        of_input = _of_input(input, weight, gradient, stride, padding) if wanted[0] else None
        of_weight = _of_weight(input, weight, gradient, stride, padding) if wanted[1] else None
        of_bias = gradient.sum((0, 2, 3)) if wanted[2] else None
        return of_input, of_weight, of_bias, None, None


def _of_input(input: Tensor, weight: Tensor, gradient: Tensor, stride: _Pair, padding: _Pair) -> Tensor:
    """The input's gradient as a plain convolution: of the gradient, with zeros between, by the turned filter."""
    (batch, channels, *edges), filters = input.shape, weight.shape[2:]
    shape = (batch, channels, *(edge + size - 1 for edge, size in zip(edges, filters, strict=True)))
    spread = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last).zero_()
    rows, columns = (
        slice(size - 1 - pad, size - pad + (count - 1) * step, step)
        for size, pad, count, step in zip(filters, padding, gradient.shape[2:], stride, strict=True)
    )
    spread[:, :, rows, columns] = gradient
    return F.conv2d(spread, weight.flip(2, 3), groups=channels)


def _of_weight(input: Tensor, weight: Tensor, gradient: Tensor, stride: _Pair, padding: _Pair) -> Tensor:
    """The filter's gradient in blocks of 3 x 3: each is that of a small filter, over a shifted part of the input."""
    if max(weight.shape[2:]) <= FAST:
        return conv2d_weight(input, weight.shape, gradient, stride, padding, groups=len(weight))
    padded = F.pad(input, (padding[1], padding[1], padding[0], padding[0]))
    result = torch.empty_like(weight)
    blocks = [(min(size, FAST), _starts(size)) for size in weight.shape[2:]]
    (height, tops), (width, lefts) = blocks
    reach = [(count - 1) * step for count, step in zip(gradient.shape[2:], stride, strict=True)]
    for top in tops:
        for left in lefts:
            part = padded[:, :, top : top + reach[0] + height, left : left + reach[1] + width]
            part = part.contiguous(memory_format=torch.channels_last)
            shape = (len(weight), 1, height, width)
            block = conv2d_weight(part, shape, gradient, stride, groups=len(weight))
            result[:, :, top : top + height, left : left + width] = block
    return result


def _starts(size: int) -> list[int]:
    """Where blocks of `FAST` begin that cover ``size``; the last may overlap the one before, with equal values."""
    return [*range(0, size - FAST, FAST), max(size - FAST, 0)]


def _pair(value: Any) -> _Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
