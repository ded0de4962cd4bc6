"""Tables of answers, points and features hold names with line ends, separators and quotes."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from dermssl.csv_rows import write_rows
from dermssl.data.sources.tables import as_csv
from dermssl.data.synthetic_photographs import draw
from dermssl.evaluation.embeddings import Embeddings
from dermssl.evaluation.leakage.search import leakage
from dermssl.evaluation.predictions import Predictions
from dermssl.evaluation.projection import Projection

ODD = ("a\rb", "a\nb", "a\r\nb", "\r", 'q"', "c,d", "=1", " x", "\u2028")


@pytest.fixture
def predictions():
    count = len(ODD)
    return Predictions(
        images=np.array([f"{i}{name}.png" for i, name in enumerate(ODD)]),
        groups=np.array(ODD),
        folds=np.arange(count) % 2,
        labels=np.arange(count),
        predictions=np.arange(count)[::-1],
        probabilities=np.full((count, count), 1 / count),
        classes=ODD,
    )


def test_rows_are_read_as_they_were_written():
    rows = [[name, "plain", "1"] for name in ODD]
    text = io.StringIO(newline="")
    write_rows(text, rows)
    assert list(csv.reader(io.StringIO(text.getvalue(), newline=""))) == rows


def test_what_needs_no_quotes_gets_none():
    text = io.StringIO(newline="")
    write_rows(text, [["image", 0, 0.5], ["b", 1, 0.25]])
    assert text.getvalue() == "image,0,0.5\nb,1,0.25\n"


def test_answers_of_odd_names_come_back(predictions, tmp_path):
    predictions.save(tmp_path / "answers.csv")
    loaded = Predictions.load(tmp_path / "answers.csv")
    assert loaded.classes == predictions.classes
    for column in ("images", "groups", "folds", "labels", "predictions"):
        np.testing.assert_array_equal(getattr(loaded, column), getattr(predictions, column))


def test_points_and_features_of_odd_names_have_a_row_each(predictions, tmp_path):
    zeros = np.zeros(len(ODD))
    plane = Projection(
        weights="w",
        data="d",
        points=np.zeros((len(ODD), 2)),
        labels=predictions.labels,
        classes=ODD,
        ids=predictions.images,
        groups=predictions.groups,
        purity=zeros,
        chance=zeros,
        plane_purity=zeros,
        protocol={},
    )
    features = Embeddings(
        ids=predictions.images,
        labels=np.array(ODD),
        groups=predictions.groups,
        split=np.array(ODD),
        features=np.zeros((len(ODD), 2), dtype=np.float32),
        neighbours=np.arange(len(ODD))[:, None],
        cosines=np.ones((len(ODD), 1), dtype=np.float32),
        protocol={},
    )
    features.save(tmp_path / "features.csv")
    replace(features, neighbours=None, cosines=None).save(tmp_path / "alone.csv")
    with open(tmp_path / "features.csv", newline="", encoding="utf-8") as file:
        of_features = list(csv.reader(file))[1:]
    with open(tmp_path / "alone.csv", newline="", encoding="utf-8") as file:
        assert [row[:4] for row in csv.reader(file)][1:] == [row[:4] for row in of_features]
    of_points = list(csv.reader(io.StringIO(plane.to_csv(), newline="")))[1:]
    for rows in (of_features, of_points):
        assert [row[0] for row in rows] == predictions.images.tolist()
    assert [row[4] for row in of_features] == predictions.images.tolist()


def test_pairs_of_leakage_keep_their_names(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a\rb.png", "c.png"):
        draw("nv", 64, lesion=(0,), view=(0,)).save(tmp_path / "images" / name)
    leakage(tmp_path / "images").save(tmp_path / "out")
    with open(tmp_path / "out" / "pairs.csv", newline="", encoding="utf-8") as file:
        [pair] = csv.DictReader(file)
    assert {pair["first"], pair["second"]} == {"a\rb.png", "c.png"}
    assert pair["kind"] == "exact"


def test_rows_of_containers_keep_their_names():
    names = [name for name in ODD if "\n" not in name]  # which these tables write as a space
    table = as_csv([{"image": name, "label": name} for name in names]).decode()
    assert list(csv.reader(io.StringIO(table, newline="")))[1:] == [[name, name] for name in names]
