"""What a user gets through timm's own transform is what was evaluated: the same pixels, features and answers."""

import csv
import logging

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import IMAGENET_MEAN, IMAGENET_STD
from dermssl.backbones.save import save_backbone
from dermssl.data.cache import source_size
from dermssl.data.prepare import cached, evaluated, prepare
from dermssl.evaluation.cam import class_activation
from dermssl.evaluation.cam_images import choose
from dermssl.evaluation.embed import embed
from dermssl.evaluation.features import to_input
from dermssl.evaluation.finetune import finetune
from dermssl.evaluation.setup import Setup

pytestmark = pytest.mark.slow  # many photographs through several networks

SHAPES = {  # width, height
    "4x3": (600, 450),
    "3x4": (450, 600),
    "3x2": (451, 301),
    "square": (300, 300),
    "odd": (223, 301),
    "nearly": (161, 160),
    "small": (50, 38),
    "small_square": (40, 40),
    "panorama": (640, 90),
    "large": (1600, 1200),
}
FITS = ("squash", "crop")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """One of each shape as JPEG and one as PNG, of two classes."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    rows = [("image", "label")]
    for name, (width, height) in SHAPES.items():
        for number, suffix in enumerate(("jpg", "png")):
            few = rng.integers(0, 256, (max(3, height // 9), max(3, width // 9), 3), dtype=np.uint8)
            image = Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC)
            image.save(folder / f"{name}.{suffix}", **({"quality": 92} if suffix == "jpg" else {}))
            rows.append((f"{name}.{suffix}", ("mel", "nv")[number]))
    with (folder / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "images.csv"


def exported(folder, architecture, fit, size):
    save_backbone(
        create_backbone(architecture, image_size=size, seed=0).eval(),
        folder,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        image_size=size,
        provenance={},
        fit=fit,
    )
    return folder


def by_timm(model, data, ids):
    """(N, 3, S, S) as timm's transform shows the photographs."""
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    files = {path.stem + path.suffix: path for path in data.parent.iterdir()}
    return torch.stack([transform(Image.open(files[name]).convert("RGB")) for name in ids])


def cosines(one, other):
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("architecture", "size"), [("test_efficientnet", 96), ("test_vit", 160)])
def test_the_features_are_those_that_timm_gives(photographs, tmp_path, architecture, size, fit):
    folder = exported(tmp_path / "exported", architecture, fit, size)
    found = embed(folder, photographs, device="cpu")
    assert found.protocol["resize"] == "bilinear, antialiased"
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    with torch.no_grad():
        wanted = model(by_timm(model, photographs, found.ids)).numpy()
    assert cosines(found.features, wanted).min() > 0.9999

    setup = Setup.of(folder, device="cpu")  # of KNN, frozen heads and projections
    labelled = setup.open(photographs)
    features = setup.features(labelled.images, labelled.rows)
    order = [found.ids.tolist().index(name) for name in labelled.ids]
    assert cosines(features, wanted[order]).min() > 0.9999


@pytest.mark.parametrize("fit", FITS)
def test_activation_maps_are_of_what_timm_shows(photographs, fit):
    model = create_backbone("test_efficientnet", image_size=96, seed=0)
    model.pretrained_cfg.update(
        crop_mode={"crop": "center"}.get(fit, fit), interpolation="bilinear", crop_pct=1.0, input_size=(3, 96, 96)
    )
    images, squares = choose(photographs, 99, {(96, fit)})
    shown = to_input(torch.from_numpy(squares[96, fit]), 96, model.pretrained_cfg["mean"], model.pretrained_cfg["std"])
    assert (shown - by_timm(model, photographs, images.ids)).abs().max() < 1.01 / 255 / min(model.pretrained_cfg["std"])


@pytest.mark.parametrize("fit", FITS)
def test_a_fitted_model_answers_through_timm_as_it_was_evaluated(photographs, tmp_path, fit):
    start = exported(tmp_path / "exported", "test_efficientnet", fit, 96)
    options = {"epochs": 1, "precision": "fp32", "device": "cpu"}
    report = finetune(start, photographs, test=photographs, output=tmp_path / "fitted", **options)
    model = timm.create_model(f"local-dir:{tmp_path / 'fitted'}", pretrained=True).eval()
    names = report.predictions.images.tolist()
    with torch.no_grad():
        wanted = model(by_timm(model, photographs, names)).softmax(1).numpy()
    np.testing.assert_allclose(report.predictions.probabilities, wanted, atol=2e-3)
    cam = class_activation(tmp_path / "fitted", photographs, limit=99, device="cpu")
    asked = dict(zip(cam.images.ids, cam.results[0].probabilities, strict=True))
    np.testing.assert_allclose([asked[name] for name in names], wanted.max(1), atol=2e-3)


def test_a_prepared_cache_comes_closer_in_one_step_than_in_two(photographs, tmp_path):
    exact = evaluated(photographs, image_size=64, progress=False)
    prepare(photographs, tmp_path / "cache", size=160, progress=False)
    once = evaluated(tmp_path / "cache", image_size=64, progress=False)
    assert once.size == 64
    assert once.resize == "bicubic to 160 px, then bilinear"
    twice = cached(tmp_path / "cache", size=source_size(64), progress=False).images
    reduced = [Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR) for image in twice]

    def error(images):
        return np.abs(np.stack(images).astype(float) - exact.images).mean()

    assert error(once.images) < 0.7 * error(reduced)


def test_reports_say_how_images_were_resized(photographs, tmp_path, caplog):
    model = create_backbone("test_efficientnet", image_size=64, seed=0)
    prepare(photographs, tmp_path / "larger", size=80, progress=False)
    prepare(photographs, tmp_path / "equal", size=64, progress=False)
    prepare(photographs, tmp_path / "smaller", size=48, progress=False)
    caplog.set_level(logging.ERROR)

    def said(data):
        return embed(model, data, image_size=64, device="cpu").protocol["resize"]

    assert said(photographs) == "bilinear, antialiased"
    assert said(tmp_path / "larger") == "bicubic to 80 px, then bilinear, antialiased"
    assert said(tmp_path / "equal") == "bicubic to 64 px"
    assert said(tmp_path / "smaller") == "bicubic to 48 px, then bilinear, antialiased"
