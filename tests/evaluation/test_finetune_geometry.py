"""Fine-tuning crops its views as pretraining does: in the photograph's own geometry, from more pixels than are seen."""

import csv
import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from dermssl.backbones.create import create_backbone
from dermssl.data.cache import source_size
from dermssl.data.prepare import cached, evaluated, prepare
from dermssl.errors import DermsslError
from dermssl.evaluation import training
from dermssl.evaluation.finetune import finetune
from dermssl.evaluation.setup import Setup

pytestmark = pytest.mark.slow  # fine-tuning of photographs of each shape

SIZE = 32
SHAPES = {"wide": (96, 64), "tall": (64, 96)}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Wide ones are red, tall ones blue."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    rows = [("image", "label")]
    for number in range(24):
        name = ("wide", "tall")[number % 2]
        width, height = SHAPES[name]
        pixels = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
        pixels[..., 0 if name == "wide" else 2] += 180
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        rows.append((f"{number:02}.png", ("mel", "nv")[number % 3 == 0]))
    with (folder / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "images.csv"


@pytest.fixture
def seen(monkeypatch):
    """What training drew, and of which pixels: (width, height, whether red) of every view."""
    views, edges = [], set()

    class Watching(training.Renderer):
        def __call__(self, images, parameters):
            red = images[:, 0].mean((1, 2)) > images[:, 2].mean((1, 2))
            views.append(torch.stack([parameters.width, parameters.height, red.float()]))
            edges.add(images.shape[-1])
            return super().__call__(images, parameters)

    monkeypatch.setattr(training, "Renderer", Watching)
    return views, edges


def stretches(views):
    """(N,) log of the width of a crop by its height in the photograph's own pixels, and whether it is red."""
    width, height, red = torch.cat(views, dim=1)
    aspect = torch.where(red > 0, 96 / 64, 64 / 96)
    return (width / height * aspect).log(), red > 0


@pytest.mark.parametrize("given", ["files", "prepared", "opened", "both"])
def test_crops_are_isotropic_in_the_photograph(photographs, tmp_path, seen, given):
    data = photographs
    if given == "prepared":
        prepare(photographs, tmp_path / "cache", size=48, progress=False)
        data = tmp_path / "cache"
    elif given == "opened":
        data = cached(photographs, size=source_size(SIZE), progress=False)
    elif given == "both":
        data = dataclasses.replace(
            evaluated(photographs, image_size=SIZE, progress=False),
            views=cached(photographs, size=source_size(SIZE), progress=False),
        )
    model = create_backbone("test_efficientnet", image_size=SIZE, seed=0)
    finetune(model, data, test=data, epochs=20, image_size=SIZE, device="cpu", precision="fp32")
    views, edges = seen
    assert edges == {source_size(SIZE)}
    log, red = stretches(views)
    assert len(log) >= 20 * 24
    for some in (log[red], log[~red]):
        assert some.mean().abs() < 0.04  # cropped as if square: 0.41
        assert some.abs().max() <= np.log(4 / 3) + 1e-4


def test_middle_squares_and_old_caches_are_cropped_as_squares(photographs, seen):
    model = create_backbone("test_efficientnet", image_size=SIZE, seed=0)
    finetune(model, photographs, test=photographs, fit="crop", epochs=1, image_size=SIZE, device="cpu")
    old = dataclasses.replace(cached(photographs, size=source_size(SIZE), progress=False), aspects=None)
    finetune(model, old, test=old, epochs=1, image_size=SIZE, device="cpu")
    width, height, _ = torch.cat(seen[0], dim=1)
    assert (width / height).log().abs().max() <= np.log(4 / 3) + 1e-4


def test_a_file_that_changed_between_the_two_readings_is_an_error(photographs, tmp_path):
    setup = Setup.of(create_backbone("test_efficientnet", image_size=SIZE, seed=0), image_size=SIZE, device="cpu")
    labelled = setup.open(photographs)
    assert setup.views(photographs, labelled).size == source_size(SIZE)
    other = dataclasses.replace(labelled, hashes=labelled.hashes[::-1])
    with pytest.raises(DermsslError, match="have changed while they were read"):
        setup.views(photographs, other)
