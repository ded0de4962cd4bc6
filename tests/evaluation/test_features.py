"""Features are those of the plain network, and the network is left as it was."""

import contextlib

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

from dermssl.backbones.facts import normalisation
from dermssl.errors import DermsslError
from dermssl.evaluation import features as features_module
from dermssl.evaluation.features import extract_features, to_input


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, size=(11, 40, 40, 3), dtype=np.uint8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=0)


def test_equal_the_plain_forward_pass_whatever_the_batch(images, model):
    model.pretrained_cfg["mean"], model.pretrained_cfg["std"] = (0.7, 0.5, 0.4), (0.1, 0.2, 0.3)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    pixels = F.interpolate(pixels, (32, 32), mode="bilinear", antialias=True)
    mean, std = torch.tensor((0.7, 0.5, 0.4)), torch.tensor((0.1, 0.2, 0.3))
    pixels = (pixels - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        expected = model.eval()(pixels).numpy()
    for batch_size in (4, 256):
        result = extract_features(model, images, image_size=32, precision="fp32", batch_size=batch_size)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, atol=1e-4)


def test_rows_choose_and_order_the_images(images, model):
    rows = np.array([7, 2, 2])
    every = extract_features(model, images, image_size=32, precision="fp32")
    some = extract_features(model, images, image_size=32, precision="fp32", rows=rows)
    np.testing.assert_allclose(some, every[rows], atol=1e-5)


def test_a_classifier_is_left_out(images):
    torch.manual_seed(0)
    with_head = timm.create_model("resnet18", num_classes=7)
    without = timm.create_model("resnet18", num_classes=0)
    without.load_state_dict(with_head.state_dict(), strict=False)
    features = [extract_features(m, images, image_size=32, precision="fp32") for m in (with_head, without)]
    np.testing.assert_allclose(*features, atol=1e-5)


def test_mode_and_statistics_of_the_model_are_left_alone(images, model):
    model.train()
    model.layer1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    extract_features(model, images, image_size=32)
    assert model.training
    assert model.layer2.training
    assert not model.layer1.training
    assert not model.layer1[0].bn1.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_nan_features_are_an_error_that_counts_them(images, model):
    torch.nn.init.constant_(model.layer4[0].bn1.weight, float("nan"))
    with pytest.raises(DermsslError, match="features of 11 of 11 images are NaN"):
        extract_features(model, images, image_size=32)


def test_a_map_instead_of_a_vector_is_an_error(images):
    model = timm.create_model("resnet18", num_classes=0, global_pool="")
    with pytest.raises(DermsslError, match="one vector per image"):
        extract_features(model, images, image_size=32)


def test_no_resize_where_the_size_fits(images):
    batch = torch.from_numpy(images)
    mean, std = normalisation(torch.nn.Identity())
    plain = to_input(batch, 40, mean, std)
    assert plain.is_contiguous(memory_format=torch.channels_last)
    expected = (batch / 255 - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(plain, expected.permute(0, 3, 1, 2))


def test_features_in_float32_on_a_card_are_without_tf32(images, model, monkeypatch):
    """The card is played by the CPU; its settings are there without it."""
    batches = [torch.from_numpy(images)]
    monkeypatch.setattr(features_module, "borrowed", lambda model, device: contextlib.nullcontext())
    monkeypatch.setattr(features_module, "read_batches", lambda images, rows, device: iter(batches))
    seen = []
    model.conv1.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.conv.fp32_precision))
    extract_features(model, images, image_size=32, device=torch.device("cuda"), precision="fp32")
    assert seen == ["ieee"]
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
