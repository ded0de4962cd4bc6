"""Small labelled sets of pictures that are easy to tell apart."""

import csv

import numpy as np
import pytest
from PIL import Image

COLOURS = {"bkl": (200, 160, 90), "mel": (60, 40, 50), "nv": (180, 110, 120)}


def write_set(folder, counts, *, seed=0, groups=True, labels=True):
    """A CSV data set of flat colours and noise; two images in three share a lesion with another."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for name, count in counts.items():
        for i in range(count):
            pixels = np.array(COLOURS.get(name, (20, 200, 20))) + rng.normal(0, 25, 3) + rng.normal(0, 40, (40, 40, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{name}_{seed}_{i}.png")
            group = f"{seed}-{name}-{i - i % 3 % 2}"
            rows.append([f"{name}_{seed}_{i}.png", name if labels else "", *([group] if groups else [])])
    with open(folder / "images.csv", "w", newline="") as file:
        csv.writer(file).writerows([["image", "label", *(["group"] if groups else [])], *rows])
    return folder / "images.csv"


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """75 images of three classes with lesions."""
    return write_set(tmp_path_factory.mktemp("labelled") / "set", {"bkl": 15, "mel": 20, "nv": 40})


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """30 other images of the same three classes."""
    return write_set(tmp_path_factory.mktemp("other") / "set", {"bkl": 8, "mel": 10, "nv": 12}, seed=1)
