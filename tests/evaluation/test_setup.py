"""What is not asked of the user comes from the weights: size and framing reach every evaluation."""

import csv

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from dermssl.data.prepare import prepare
from dermssl.errors import DermsslError
from dermssl.evaluation.cam import class_activation
from dermssl.evaluation.finetune import finetune
from dermssl.evaluation.knn import evaluate_knn
from dermssl.evaluation.leakage.search import leakage
from dermssl.evaluation.projection import project
from dermssl.evaluation.setup import Setup

OPTIONS = {"image_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Photographs of 2:1 whose ends tell the class and whose middle square tells nothing."""
    folder = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(0)
    rows = [("image", "label")]
    for i in range(24):
        pixels = rng.integers(100, 140, (40, 80, 3), dtype=np.uint8)
        pixels[:, :16] = pixels[:, -16:] = (220, 30, 30) if i % 2 else (30, 30, 220)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        rows.append((f"{i}.png", ("mel", "nv")[i % 2]))
    with (folder / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "images.csv"


def model(crop_mode):
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=0, pretrained_cfg_overlay={"crop_mode": crop_mode})


def evaluations(data, weights, **options):
    return {
        "knn": evaluate_knn(weights, data, k=3, folds=2, **OPTIONS, **options).protocol,
        "frozen": finetune(weights, data, freeze=True, folds=2, **OPTIONS, **options).protocol,
        "projection": project(weights, data, perplexity=5, k=3, **OPTIONS, **options).protocol,
    }


@pytest.mark.parametrize(("crop_mode", "fit"), [("center", "crop"), ("squash", "squash")])
def test_every_evaluation_frames_as_the_weights_were_trained(wide, crop_mode, fit):
    assert {protocol["fit"] for protocol in evaluations(wide, model(crop_mode)).values()} == {fit}


def test_the_framing_moves_the_figures_and_can_be_given(wide):
    cropped = evaluate_knn(model("center"), wide, k=3, folds=2, **OPTIONS)
    whole = evaluate_knn(model("center"), wide, k=3, folds=2, fit="squash", **OPTIONS)
    assert whole.protocol["fit"] == "squash"
    assert whole.metrics["accuracy"] == 1
    assert cropped.metrics["accuracy"] < 0.9


def test_a_cache_of_another_framing_is_used_and_said(wide, tmp_path):
    cache = prepare(wide, tmp_path / "cache", size=40, fit="squash", progress=False)
    report = evaluate_knn(model("center"), cache, k=3, folds=2, **OPTIONS)
    assert report.protocol["fit"] == "squash"
    assert any("prepared with --fit squash, where crop was asked for" in note for note in report.notes)


def test_maps_and_leakage_say_the_framing_of_a_cache(wide, tmp_path, caplog):
    cache = prepare(wide, tmp_path / "cache", size=40, fit="squash", progress=False)
    for data in (cache, cache.path):
        caplog.clear()
        assert class_activation(model("center"), data, limit=2, **OPTIONS).results[0].fit == "squash"
        assert "prepared with --fit squash, where module:test_resnet asks for crop" in caplog.text
    cropped = prepare(wide, tmp_path / "cropped", size=40, fit="crop", progress=False)
    assert leakage(cropped.path).settings["fit"] == "crop"
    assert leakage(cropped.path, wide).settings["fit"] == "crop and squash"


def test_the_size_comes_from_the_weights():
    network = timm.create_model("test_resnet", num_classes=0, pretrained_cfg_overlay={"input_size": (3, 48, 48)})
    assert Setup.of(network, device="cpu").image_size == 48
    assert Setup.of(network, device="cpu", image_size=32).image_size == 32
    with pytest.raises(DermsslError, match="--image-size 0"):
        Setup.of(network, device="cpu", image_size=0)


def test_callers_from_python_have_their_memory_kept_too(monkeypatch):
    asked = []
    monkeypatch.setattr("dermssl.evaluation.setup.keep_freed_memory", lambda: asked.append(True))
    Setup.of("random:resnet10t", device="cpu")
    assert asked


def test_a_model_is_as_it_was_afterwards(wide):
    network = model("squash").train()
    network.bn1.eval()
    setup = Setup.of(network, device="cpu", image_size=32)
    features = setup.features(setup.open(wide).images)
    assert features.shape == (24, 96)
    assert network.training
    assert not network.bn1.training
