"""BatchNorm over groups against one BatchNorm for each group."""

import copy

import pytest
import torch
from torch import nn

from dermssl.backbones.create import create_backbone
from dermssl.methods.batchnorm import GroupedBatchNorm


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.BatchNorm1d(5), (12, 5)), (nn.BatchNorm2d(5), (12, 5, 3, 3)), (nn.BatchNorm1d(5), (12, 5, 4))],
)
def test_each_group_is_normalised_alone(layer, shape):
    torch.manual_seed(0)
    layer = copy.deepcopy(layer).double()
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    apart = [copy.deepcopy(layer) for _ in range(3)]
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    with GroupedBatchNorm(3):
        y = layer(x)
    rows = torch.arange(12).chunk(3)
    expected = torch.empty_like(y)
    for one, own in zip(apart, rows, strict=True):
        expected[own] = one(x[own])
    torch.testing.assert_close(y, expected)
    factor = torch.randn_like(y)
    ours = torch.autograd.grad((y * factor).sum(), [x, layer.weight])
    theirs, *of_groups = torch.autograd.grad((expected * factor).sum(), [x, *(one.weight for one in apart)])
    torch.testing.assert_close(ours, (theirs, sum(of_groups)))
    # the running statistics: the mean of what each group alone would leave
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(one, name) for one in apart]).mean(0)
        torch.testing.assert_close(getattr(layer, name), mean)
    assert int(layer.num_batches_tracked) == 1


def test_tokens_of_an_image_stay_in_its_group():
    """Models such as LeViT normalise (B T, C)."""
    layer = nn.BatchNorm1d(4, affine=False)
    x = torch.randn(6, 5, 4)
    with GroupedBatchNorm(2):
        y = layer(x.flatten(0, 1)).view_as(x)
    for own in torch.arange(6).chunk(2):
        torch.testing.assert_close(y[own].mean((0, 1)), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(y[own].var((0, 1), correction=0), torch.ones(4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "mobilenetv3_small_050", "levit_128s"])
def test_whole_backbones_see_groups_in_one_pass(name):
    """timm's own BatchNorm layers, too; and channels_last stays."""
    size = 224 if name == "levit_128s" else 32
    torch.manual_seed(0)
    model = create_backbone(name, image_size=size).train().to(memory_format=torch.channels_last)
    for module in model.modules():  # attention dropout and the like would differ from pass to pass
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    apart = copy.deepcopy(model)
    images = torch.randn(8, 3, size, size).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        with GroupedBatchNorm(2):
            together = model(images)
        expected = torch.cat([apart(images[:4]), apart(images[4:])])
    torch.testing.assert_close(together, expected, rtol=1e-3, atol=1e-3)


def test_evaluation_mode_is_left_alone():
    layer = nn.BatchNorm1d(3).eval()
    x = torch.randn(8, 3)
    with GroupedBatchNorm(2):
        y = layer(x)
    assert torch.equal(y, layer(x))


def test_it_works_under_autocast():
    layer, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), torch.randn(8, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16), GroupedBatchNorm(2):
        y = layer(x)
    torch.testing.assert_close(y[:4].float().mean((0, 2, 3)), torch.zeros(4), atol=2e-2, rtol=0)
