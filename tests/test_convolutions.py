"""Gradients of convolutions in bf16 on the CPU, against float64 and float32."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from dermssl.convolutions import MendedConvolutions, _Depthwise
from dermssl.devices import autocast

CPU = torch.device("cpu")


def gradients(convolve, channels, height, width, filters, bias, **how):
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(2, channels, height, width, generator=generator), torch.randn(filters, generator=generator)]
    made += [torch.randn(channels, generator=generator)] if bias else []
    leaves = [value.requires_grad_() for value in made]
    output = convolve(*leaves, groups=channels, **how)
    torch.manual_seed(0)
    output.backward(torch.randn(output.shape).to(output.dtype))
    return output.detach(), [leaf.grad for leaf in leaves]


def in_float64(*tensors, **how):
    return F.conv2d(*(tensor.bfloat16().double() for tensor in tensors), **how)


def in_bf16(*tensors, **how):
    with autocast(CPU, torch.bfloat16):
        return F.conv2d(*tensors, **how)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "size", "stride", "padding"),
    [
        (8, 8, (5, 5), 1, 2),
        (11, 9, (5, 5), 2, 0),
        (12, 12, (5, 5), (2, 1), (2, 1)),
        (9, 9, (3, 3), 2, 1),
        (16, 10, (3, 3), (2, 2), 0),
        (14, 14, (7, 7), 1, 3),
        (14, 15, (7, 7), 2, 3),
        (10, 12, (1, 7), 1, (0, 3)),
        (12, 12, (4, 4), 4, 0),
        (13, 12, (2, 3), (3, 2), (1, 2)),
        (12, 11, (2, 2), 5, 1),
        (7, 7, (1, 1), 2, 0),
        (21, 20, (9, 8), 3, 4),
    ],
)
def test_gradients_are_those_of_float64(height, width, size, stride, padding, bias):
    how = {"stride": stride, "padding": padding}
    shape = (6, 1, *size)
    expected, exact = gradients(in_float64, 6, height, width, shape, bias, **how)
    output, found = gradients(in_bf16, 6, height, width, shape, bias, **how)
    assert output.dtype == torch.bfloat16
    assert torch.linalg.vector_norm(output.double() - expected) < 4e-3 * torch.linalg.vector_norm(expected)
    for ours, right in zip(found, exact, strict=True):
        assert ours.dtype == torch.float32
        assert torch.linalg.vector_norm(ours - right) < 6e-3 * torch.linalg.vector_norm(right)


@pytest.fixture
def calls(monkeypatch):
    made = []

    def apply(*args):
        made.append(tuple(args[1].shape))
        return genuine(*args)

    genuine = _Depthwise.apply
    monkeypatch.setattr(_Depthwise, "apply", apply)
    return made


@pytest.mark.parametrize(("name", "count"), [("tf_efficientnet_lite0", 11), ("convnext_atto", 12), ("resnet18", 0)])
def test_the_slow_convolutions_of_a_network_are_found(name, count, calls):
    model = timm.create_model(name, num_classes=0)
    with autocast(CPU, torch.bfloat16):
        model(torch.zeros(2, 3, 64, 64)).sum().backward()
    assert len(calls) == count
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_rest_is_left_alone(calls):
    images, filters = torch.randn(2, 6, 9, 9), torch.randn(6, 1, 5, 5, requires_grad=True)
    with autocast(CPU, torch.float32):
        F.conv2d(images, filters, groups=6)  # fast as it is
    with autocast(CPU, torch.bfloat16):
        F.conv2d(images, filters, groups=6, dilation=2)
        F.conv2d(images, torch.randn(6, 3, 5, 5), groups=2)
        F.conv2d(images, torch.randn(12, 1, 5, 5), groups=6)
        F.conv2d(images, torch.randn(6, 1, 3, 3), groups=6, padding="same")
        F.conv2d(images, filters, groups=6, padding="same")
        F.conv2d(images, filters, groups=6, padding=5)  # rows that see nothing but padding
        F.conv2d(images[0], filters, groups=6)
        with torch.autocast("cpu", enabled=False):
            assert F.conv2d(images, filters, groups=6).dtype == torch.float32
        with torch.no_grad():
            F.conv2d(images, filters, groups=6)
    assert not calls
    with MendedConvolutions():
        assert F.conv2d(images, filters, groups=6).dtype == torch.float32  # without autocast
    assert not calls


def spoil_memory() -> None:
    """Leave NaN in memory that is free."""
    for count in (1_000, 10_000, 100_000, 1_000_000):
        parts = [torch.full((count,), float("nan")) for _ in range(20)]
        del parts


@pytest.mark.parametrize("groups", [1, 64])
@pytest.mark.parametrize(
    ("edge", "size", "stride"), [(1, 3, 1), (1, 3, 2), (1, 5, 1), (2, 7, 1), (1, 7, 2), (2, 3, 2), (4, 3, 1)]
)
def test_a_value_that_meets_padding_only_has_no_gradient(edge, size, stride, groups):
    torch.manual_seed(0)
    plain = nn.Conv2d(64, 64, size, stride, size // 2, groups=groups, bias=False)
    images = torch.randn(8, 64, edge, edge).contiguous(memory_format=torch.channels_last)
    plain(images).square().sum().backward()
    wanted, plain.weight.grad = plain.weight.grad, None
    for _ in range(3):
        spoil_memory()
        with torch.autocast("cpu", torch.bfloat16), MendedConvolutions():
            result = plain(images)
        result.float().square().sum().backward()
        found, plain.weight.grad = plain.weight.grad, None
        assert torch.equal(found[wanted == 0], torch.zeros_like(wanted[wanted == 0]))
        assert (found - wanted).norm() < 0.02 * wanted.norm()
