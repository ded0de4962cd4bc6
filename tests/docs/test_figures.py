"""docs/figures.py draws the pictures of the README and the home page."""

import importlib.util
from pathlib import Path

import matplotlib
import pytest

from dermssl.data.synthetic import write_synthetic

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_method_is_drawn_as_it_is_kept(figures, tmp_path, monkeypatch):
    kept = figures.IMAGES / "method.svg"
    monkeypatch.setattr(figures, "IMAGES", tmp_path)
    with matplotlib.rc_context():
        drawn = figures.write_method()
    assert drawn.read_text().count("<path") == kept.read_text().count("<path")


def test_neighbours_are_of_other_lesions(figures, tmp_path):
    images = write_synthetic(tmp_path / "images", images=56, size=48, seed=0, upright=True)
    found = figures.dermssl.embed("random:test_efficientnet", images, image_size=32)
    for query in range(0, 56, 7):
        nearest = figures.nearest(found, query)
        assert len(set(nearest)) == figures.SHOWN
        assert found.groups[query] not in {found.groups[i] for i in nearest}
    figure = figures.neighbours(images, "random:test_efficientnet", "random:test_vit", 32)
    assert len(figure.axes) == len(figures.CLASSES) * (1 + 2 * figures.SHOWN)
