"""Activation maps: against their definitions written out plainly, and the command from weights to pictures."""

import functools
import json
import re
import shutil

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from PIL import Image

import dermssl
from dermssl.backbones.load import load_backbone
from dermssl.cli.cam import command
from dermssl.data.prepare import evaluated, prepare
from dermssl.errors import DermsslError
from dermssl.evaluation.activation import activation_maps
from dermssl.evaluation.cam import class_activation
from dermssl.evaluation.fitted import save_fitted, with_classifier
from dermssl.reporting.cam_page import overlay, scaled, write_cam_page

from .conftest import write_set

SIZE = 64


@functools.cache
def shared(name, **options):
    """Made once for tests that leave it as it is: making a large one takes longer than to ask it."""
    return make(name, classes=3, **options)


def make(name, classes=0, **options):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=classes, **options).eval()


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder as ``finetune --output`` writes it."""
    folder = tmp_path_factory.mktemp("fitted") / "model"
    model = with_classifier(load_backbone("random:resnet10t"), 3, seed=0)
    save_fitted(model, folder, ("bkl", "mel", "nv"), image_size=SIZE, about={})
    return folder


def test_cam_is_classifier_weights_times_activations(inputs):
    model = make("resnet10t", classes=3)
    maps, logits = activation_maps(model, inputs, method="cam", target=1)
    with torch.no_grad():
        features = model.forward_features(inputs)
        plain = sum(model.fc.weight[1, c] * features[:, c] for c in range(features.shape[1]))
        torch.testing.assert_close(maps, plain)
        torch.testing.assert_close(logits, model(inputs))


@pytest.mark.parametrize("name", ["resnet10t", "swin_tiny_patch4_window7_224"])
def test_gradcam_of_average_pooling_and_linear_head_is_cam(name, inputs):
    model = make(name, classes=3, **({"img_size": SIZE, "window_size": 2} if "swin" in name else {}))
    positive = False
    for target in (0, 2, -1, torch.tensor([2, 0])):
        cam, logits = activation_maps(model, inputs, method="cam", target=target)
        gradcam, _ = activation_maps(model, inputs, method="gradcam", target=target)
        positive |= bool((cam > 0).any())
        torch.testing.assert_close(gradcam, cam.relu() / cam[0].numel())
        # the mean of a CAM and the bias are the score
        chosen = logits.argmax(dim=1) if isinstance(target, int) and target < 0 else torch.as_tensor(target).expand(2)
        score = logits.gather(1, chosen[:, None])[:, 0]
        torch.testing.assert_close(cam.mean(dim=(1, 2)) + model.get_classifier().bias[chosen], score)
    assert positive


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "efficientnet_b0"])
def test_without_a_class_the_map_adds_up_to_the_squared_length_of_the_features(name, inputs):
    model = make(name)
    cam, logits = activation_maps(model, inputs, method="cam")
    pooled = model.forward_features(inputs).mean(dim=(2, 3))
    assert logits is None
    torch.testing.assert_close(cam.mean(dim=(1, 2)), (pooled**2).sum(dim=1))
    gradcam, _ = activation_maps(model, inputs, method="gradcam")
    torch.testing.assert_close(gradcam, cam.relu() / cam[0].numel())


def test_gradcam_with_a_norm_in_the_head_is_its_definition(inputs):
    model = make("convnext_atto", classes=3)
    features = model.forward_features(inputs).detach().requires_grad_()
    model.forward_head(features)[:, 1].sum().backward()
    plain = (features.grad.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu()
    maps, _ = activation_maps(model, inputs, target=1)
    assert plain.max() > 0
    torch.testing.assert_close(maps, plain.detach())


@pytest.mark.parametrize("target", [None, 1])
def test_gradcam_of_a_class_token_goes_through_the_last_attention(target, inputs):
    model = make("vit_tiny_patch16_224", classes=3, img_size=SIZE)
    with torch.no_grad():
        x = model.patch_embed(inputs)
        x = model.norm_pre(model.patch_drop(model._pos_embed(x)))
        for block in model.blocks[:-1]:
            x = block(x)
    block = model.blocks[-1]
    tokens = block.norm1(x).detach().requires_grad_()
    y = x + block.attn(tokens)
    y = y + block.mlp(block.norm2(y))
    score = 0.5 * (y[:, 0] ** 2).sum() if target is None else model.head(model.norm(y)[:, 0])[:, target].sum()
    score.backward()
    weight = tokens.grad[:, 1:].mean(dim=1, keepdim=True)
    plain = (weight * tokens[:, 1:]).sum(dim=2).relu().reshape(2, 4, 4)
    maps, _ = activation_maps(model, inputs, target=target)
    assert plain.max() > 0
    torch.testing.assert_close(maps, plain.detach(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("method", ["gradcam", "cam"])
@pytest.mark.parametrize("target", [None, -1])
@pytest.mark.parametrize(
    ("name", "options", "grid"),
    [
        ("convnext_atto", {}, (2, 2)),
        ("efficientnet_b0", {}, (2, 2)),
        ("mobilenetv3_small_100", {}, (2, 2)),
        ("resnetv2_18", {}, (2, 2)),
        ("vit_tiny_patch16_224", {"img_size": SIZE}, (4, 4)),
        ("vit_tiny_patch16_224", {"img_size": SIZE, "global_pool": "avg"}, (4, 4)),
        ("vit_tiny_patch16_224", {"img_size": SIZE, "reg_tokens": 3}, (4, 4)),
        ("swin_tiny_patch4_window7_224", {"img_size": SIZE, "window_size": 2}, (2, 2)),
    ],
)
def test_architectures(name, options, grid, method, target, inputs):
    maps, _ = activation_maps(shared(name, **options), inputs, method=method, target=target)
    assert maps.shape == (2, *grid)
    assert torch.isfinite(maps).all()
    assert (maps.amax(dim=(1, 2)) > maps.amin(dim=(1, 2))).all()


def test_an_architecture_without_a_map_says_so():
    with pytest.raises(DermsslError, match="not one map over the image"):
        activation_maps(make("crossvit_9_240"), torch.zeros(1, 3, 240, 240))


def test_labelled_images_are_taken_from_each_class_in_turn(labelled):
    cam = dermssl.class_activation("random:resnet10t", labelled, limit=4, image_size=SIZE)
    assert cam.images.labels == ("bkl", "mel", "nv", "bkl")
    assert cam.images.ids == ("bkl_0_0.png", "mel_0_0.png", "nv_0_0.png", "bkl_0_1.png")
    assert cam.results[0].maps.shape == (4, 2, 2)
    assert cam.results[0].targets == ("",) * 4
    assert np.isnan(cam.results[0].probabilities).all()


def test_a_prepared_cache_gives_the_maps_of_its_files(labelled, tmp_path):
    cache = evaluated(labelled, image_size=SIZE, progress=False)
    from_files = class_activation("random:resnet10t", labelled, limit=10, image_size=SIZE)
    from_cache = class_activation("random:resnet10t", cache, limit=10, image_size=SIZE)
    assert from_files.images.ids == from_cache.images.ids
    np.testing.assert_array_equal(from_files.results[0].maps, from_cache.results[0].maps)
    assert from_files.images.pixels(3).shape == (40, 40, 3)
    np.testing.assert_array_equal(from_cache.images.pixels(0), cache.images[cache.records.ids.index("bkl_0_0.png")])
    prepare(labelled, tmp_path / "cache", size=72, progress=False)  # resized once already: close
    nearly = class_activation("random:resnet10t", tmp_path / "cache", limit=10, image_size=SIZE).results[0].maps
    exact = from_files.results[0].maps
    assert np.abs(nearly - exact).max() < 0.3 * exact.max()
    assert np.corrcoef(nearly.ravel(), exact.ravel())[0, 1] > 0.99


def test_a_fitted_model_shows_its_prediction_or_the_class_asked_for(fitted, labelled):
    predicted = class_activation([fitted, "random:resnet10t"], labelled, limit=3).results[0]
    model = timm.create_model(f"local-dir:{fitted}", pretrained=True).eval()
    assert (predicted.own_size, predicted.image_size) == (SIZE, 224)  # 2 x 2 positions would show the padding
    assert set(predicted.targets) <= {"bkl", "mel", "nv"}
    asked = class_activation([model, "random:resnet10t"], labelled, limit=3, target="mel", image_size=SIZE)
    assert asked.results[0].targets == ("mel",) * 3
    assert asked.results[1].targets == ("",) * 3
    assert (asked.results[0].probabilities <= predicted.probabilities + 1e-6).all()
    assert (predicted.probabilities >= 1 / 3).all()
    with pytest.raises(DermsslError, match=r"--class scc: .* has only bkl, mel, nv"):
        class_activation(fitted, labelled, target="scc")
    with pytest.raises(DermsslError, match="none of the weights has a classifier"):
        class_activation("random:resnet10t", labelled, target="mel", image_size=SIZE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_classes": 10**8, "label_names": None}, "of another number of classes than 100,000,000"),
        ({"model_args": {"layers": [10**5, 1, 1, 1]}}, "far larger network"),
        ({"pretrained_cfg": {"mean": [0.5, 0.5, "x"]}}, r"config\.json .*mean\[2\]"),
        ({"pretrained_cfg": {"input_size": [3, 9000, 9000]}}, "images of 9,000 px"),
    ],
    ids=["classes", "depth", "mean", "size"],
)
def test_a_fitted_model_that_asks_for_more_than_its_weights_is_refused(fitted, labelled, tmp_path, change, said):
    folder = shutil.copytree(fitted, tmp_path / "evil")
    config = json.loads((folder / "config.json").read_text())
    for name, value in change.items():
        if value is None:
            del config[name]
        else:
            config[name] = {**config.get(name, {}), **value} if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DermsslError, match=said):
        class_activation(folder, labelled, limit=1)


def test_the_model_is_left_as_it_was(labelled):
    model = make("resnet10t").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    class_activation(model, labelled, limit=2, image_size=SIZE)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_unreadable_images_are_left_out_with_a_warning(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DermsslError, match="none of its images can be read"):
        class_activation("random:resnet10t", tmp_path / "a.png", image_size=SIZE)
    Image.new("RGB", (50, 30), "pink").save(tmp_path / "b.png")
    cam = class_activation("random:resnet10t", tmp_path, limit=1, image_size=SIZE)
    assert cam.images.ids == ("b.png",)
    assert "a.png: not an image of a known format; left out" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "--limit 0"),
        ({"method": "smooth"}, "--method smooth"),
        ({"weights": []}, "WEIGHTS"),
        ({"seed": -1}, "--seed -1: must be 0 or more"),
    ],
)
def test_bad_options(options, message, labelled):
    with pytest.raises(DermsslError, match=message):
        class_activation(**{"weights": "random:resnet10t", "images": labelled, **options})


def test_overlay_keeps_the_shape_and_is_brightest_where_the_map_is_high():
    values = np.zeros((3, 5), np.float32)
    values[0, 4] = 7
    picture = overlay(np.zeros((30, 100, 3), np.uint8), values)
    assert picture.shape == (30, 100, 3)
    row, column = np.unravel_index(picture.sum(axis=2).argmax(), (30, 100))
    assert row < 10
    assert column >= 80
    assert scaled(values).max() == 1
    assert not scaled(np.full((2, 2), 0.3)).any()


def test_command_writes_pictures_at_the_images_own_size_and_one_page(fitted, tmp_path):
    Image.effect_noise((90, 50), 80).convert("RGB").save(tmp_path / "one & only.png")
    arguments = [str(fitted), "random:resnet10t", str(tmp_path / "one & only.png"), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(command, [*arguments, "--json", "--image-size", str(SIZE)], catch_exceptions=False)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert [entry["weights"] for entry in printed["overlays"]] == [fitted.name, "random:resnet10t"]
    assert printed["overlays"][0]["class"] in ("bkl", "mel", "nv")
    assert printed["overlays"][1]["class"] is None
    assert {Image.open(entry["file"]).size for entry in printed["overlays"]} == {(90, 50)}
    page = (tmp_path / "out" / "cam.html").read_text()
    assert str(tmp_path / "out" / "cam.html") == printed["page"]
    assert "one &amp; only.png" in page
    assert len(re.findall(r'<img[^>]*src="data:image/jpeg[^>]*alt="[^"]+"', page)) == 3
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)


class TestPositions:
    """A coarse map shows the zero padding, not the picture: by default it has seven positions at each side."""

    @staticmethod
    def small():
        """A ResNet whose weights are made for 64 px: 2 x 2 positions."""
        return timm.create_model("resnet10t", num_classes=0, pretrained_cfg_overlay={"input_size": (3, 64, 64)})

    def test_the_image_is_enlarged_until_the_map_has_seven_positions(self, tmp_path):
        data = write_set(tmp_path / "set", {"mel": 6, "nv": 6})
        result = class_activation(self.small(), data, limit=2, device="cpu").results[0]
        assert (result.own_size, result.own_positions, result.image_size) == (64, 2, 224)
        assert result.maps.shape == (2, 7, 7)
        pages = write_cam_page(tmp_path / "cam.html", class_activation(self.small(), data, limit=2, device="cpu"))
        page = pages[0].read_text()
        assert "a map of 7 x 7 positions. At its own 64 px it would have 2 x 2" in page
        assert "Here of 12 photographs drawn at random" in page

    def test_a_size_that_was_asked_for_is_kept(self, tmp_path):
        data = write_set(tmp_path / "set", {"mel": 2, "nv": 2})
        result = class_activation(self.small(), data, limit=1, image_size=64, device="cpu").results[0]
        assert (result.image_size, result.maps.shape) == (64, (1, 2, 2))
        assert result.mean is None  # a single image has no mean

    def test_a_transformer_is_made_to_fit(self, tmp_path):
        data = write_set(tmp_path / "set", {"mel": 2, "nv": 2})
        result = class_activation("random:test_vit", data, limit=2, device="cpu").results[0]
        assert min(result.maps.shape[1:]) >= 7

    def test_the_mean_map_of_random_photographs_favours_no_corner(self, tmp_path):
        """Uniform noise: nothing in the pictures is anywhere more than elsewhere."""
        rng = np.random.default_rng(0)
        (tmp_path / "noise").mkdir()
        for i in range(16):
            picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "noise" / f"{i}.png")
        torch.manual_seed(0)
        result = class_activation(self.small(), tmp_path / "noise", limit=2, device="cpu").results[0]
        assert result.mean_of == 16
        assert result.mean.mean() == pytest.approx(1, abs=1e-3)
        corners = result.mean[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.max() < 1.3
        assert np.unravel_index(result.mean.argmax(), result.mean.shape) not in {(0, 0), (0, 6), (6, 0), (6, 6)}

    def test_the_framing_of_the_weights_is_kept(self, tmp_path):
        (tmp_path / "wide").mkdir()
        for i in range(2):
            Image.fromarray(np.full((40, 80, 3), 60 * (i + 1), np.uint8)).save(tmp_path / "wide" / f"{i}.png")
        model = self.small()
        model.pretrained_cfg["crop_mode"] = "center"
        assert class_activation(model, tmp_path / "wide", limit=1, device="cpu").results[0].fit == "crop"
        model.pretrained_cfg["crop_mode"] = "squash"
        assert class_activation(model, tmp_path / "wide", limit=1, device="cpu").results[0].fit == "squash"
