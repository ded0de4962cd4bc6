"""The synthetic lesions: the layout, the same by seed, and not to be told apart by their mean colour."""

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from dermssl.data.folds import make_folds
from dermssl.data.read import read_records
from dermssl.data.synthetic import SHARES, class_counts, write_synthetic
from dermssl.data.synthetic_photographs import draw
from dermssl.errors import DermsslError


def test_it_is_a_ham10000_download_with_repeated_lesions(tmp_path):
    records = read_records(write_synthetic(tmp_path / "set", images=120, size=32))
    assert records.layout == "synthetic"
    assert len(records) == 120
    assert records.problems == ()
    assert records.class_counts() == {name: class_counts(120)[name] for name in sorted(SHARES)}
    assert records.groups is not None
    assert 80 < len(set(records.groups)) < 115
    assert set(make_folds(records.labels, records.groups)) == set(range(5))
    for name in range(7):  # as many lesions as folds, so that every fold can hold every class
        assert len({g for g, label in zip(records.groups, records.labels, strict=True) if label == name}) >= 5
    with Image.open(records.paths[0]) as image:
        assert image.size == (32, 32)


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    first = write_synthetic(tmp_path / "a", images=35, size=24, seed=5)
    second = write_synthetic(tmp_path / "b", images=35, size=24, seed=5)
    other = write_synthetic(tmp_path / "c", images=35, size=24, seed=6)
    names = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    assert len(names) == 37
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    name = "HAM10000_images/SYNTH_0000003.jpg"
    assert (first / name).read_bytes() != (other / name).read_bytes()


def test_the_same_set_is_left_as_it_is_and_another_one_refused(tmp_path):
    folder = write_synthetic(tmp_path / "a", images=35, size=24)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_synthetic(folder, images=35, size=24)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(DermsslError, match="not empty"):
        write_synthetic(folder, images=36, size=24)


def test_counts_are_mostly_nevi_with_several_of_each():
    for images in (35, 100, 600, 10_000):
        counts = class_counts(images)
        assert sum(counts.values()) == images
        assert min(counts.values()) >= 5
    assert class_counts(600)["nv"] == 360


@pytest.mark.parametrize("options", [{"images": 34}, {"size": 8}, {"size": 4096}])
def test_wrong_options(tmp_path, options):
    with pytest.raises(DermsslError, match=next(iter(options))):
        write_synthetic(tmp_path / "x", **options)


def test_two_photographs_of_one_lesion_are_nearer_than_two_lesions():
    def look(lesion, view):
        small = draw("mel", 64, lesion=(1, lesion), view=(view,)).resize((4, 4), Image.Resampling.BOX)
        return np.asarray(small, float).mean((0, 1)) / np.asarray(small, float).mean()

    same = [np.abs(look(i, 2 * i) - look(i, 2 * i + 1)).mean() for i in range(25)]
    different = [np.abs(look(i, 2 * i) - look(i + 1, 2 * i + 1)).mean() for i in range(25)]
    assert np.mean(same) < np.mean(different)


def test_mean_colour_alone_hardly_tells_the_classes_apart(tmp_path):
    records = read_records(write_synthetic(tmp_path / "set", images=300, size=32))
    colour = np.array([np.asarray(Image.open(path)).mean((0, 1)) for path in records.paths])
    fold = make_folds(records.labels, records.groups)
    right = np.zeros(len(colour), bool)
    for index in range(5):
        train, test = fold != index, fold == index
        knn = KNeighborsClassifier(10).fit(colour[train], records.labels[train])
        right[test] = knn.predict(colour[test]) == records.labels[test]
    recall = np.mean([right[records.labels == name].mean() for name in range(7)])
    assert recall < 0.30


def test_an_upright_set_has_an_up_and_as_many_of_each_class(tmp_path):
    folder = write_synthetic(tmp_path / "set", images=71, size=32, upright=True)
    records = read_records(folder)
    assert sorted(records.class_counts().values()) == [10] * 6 + [11]
    rows = np.stack([np.asarray(Image.open(path).convert("L"), float) for path in records.paths]).mean((0, 2))
    assert rows[:8].mean() > 1.15 * rows[-8:].mean()  # light from above
    with pytest.raises(DermsslError, match="not empty"):
        write_synthetic(folder, images=71, size=32)  # another set


def test_the_other_set_is_drawn_as_it_always_was(tmp_path):
    """The seeds of tests and of earlier versions go on to mean the same pixels."""
    pixels = np.asarray(draw("mel", 16, lesion=(0, 1), view=(0, 1, 2)))
    assert pixels[::5, ::5].mean(axis=2).round().astype(int).tolist() == [
        [69, 89, 83, 76],
        [96, 69, 68, 93],
        [101, 50, 53, 91],
        [97, 100, 104, 85],
    ]
