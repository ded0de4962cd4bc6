"""Embeddings: the evaluations' features, in the files that others read, with neighbours as a slow oracle finds them."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import dermssl
from dermssl.cli import group
from dermssl.data.prepare import prepare
from dermssl.evaluation.embed import embed, nearest_others
from dermssl.evaluation.features import extract_features

WEIGHTS = "random:test_efficientnet"


@pytest.fixture(scope="module")
def cache(labelled, tmp_path_factory):
    return prepare(labelled, tmp_path_factory.mktemp("cache") / "c", size=40, progress=False)


@pytest.fixture(scope="module")
def result(cache):
    return embed(WEIGHTS, cache, image_size=32, neighbours=3)


def test_the_features_are_those_of_the_evaluations(cache, result):
    model = dermssl.load_backbone(WEIGHTS, seed=0)
    assert np.array_equal(result.features, extract_features(model, cache.images, image_size=32, precision="fp32"))
    assert result.features.dtype == np.float32
    records = cache.records
    assert result.ids.tolist() == list(records.ids)
    assert result.labels.tolist() == [records.classes[label] for label in records.labels]
    assert result.groups.tolist() == list(records.groups)
    assert len(result) == len(records)


def test_neighbours_are_those_of_a_slow_search(result):
    unit = result.features / np.linalg.norm(result.features, axis=1, keepdims=True)
    for row in range(len(unit)):
        cosine = unit @ unit[row]
        cosine[row] = -np.inf
        expected = np.sort(cosine)[::-1][:3]
        assert row not in result.neighbours[row]
        assert np.allclose(result.cosines[row], expected, atol=1e-5)
        assert np.allclose(cosine[result.neighbours[row]], result.cosines[row], atol=1e-5)


def test_copies_are_one_anothers_neighbours_and_never_their_own():
    features = torch.ones(7, 4)
    rows, cosines = nearest_others(features, 3, device=torch.device("cpu"))
    assert all(row not in found and len(set(found)) == 3 for row, found in enumerate(rows.tolist()))
    assert np.allclose(cosines, 1)


def test_every_file_holds_the_same(tmp_path, result):
    result.save(tmp_path / "a.npz")
    result.save(tmp_path / "a.csv")
    with np.load(tmp_path / "a.npz") as file:  # without pickles
        for name in ("ids", "labels", "groups", "split", "features", "neighbours", "cosines"):
            assert np.array_equal(file[name], getattr(result, name)), name
        assert json.loads(str(file["protocol"])) == {**result.protocol, "data": "set"}
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == result.ids.tolist()
    assert [row["neighbour_2"] for row in rows] == result.ids[result.neighbours[:, 1]].tolist()
    features = np.array([[row[f"f{i}"] for i in range(result.features.shape[1])] for row in rows], dtype=np.float32)
    assert np.array_equal(features, result.features)


def test_parquet(tmp_path, result):
    pq = pytest.importorskip("pyarrow.parquet")
    result.save(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    assert np.array_equal(np.array(table["features"], dtype=np.float32), result.features)
    assert table["label"] == result.labels.tolist()
    assert table["neighbours"] == result.ids[result.neighbours].tolist()


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_float16_is_the_same_rounded(tmp_path, cache, result, suffix):
    halves = embed(WEIGHTS, cache, image_size=32, dtype="float16", output=tmp_path / f"a.{suffix}")
    assert halves.features.dtype == np.float16
    assert np.array_equal(halves.features, result.features.astype(np.float16))
    assert (tmp_path / f"a.{suffix}").is_file()


def test_unlabelled_images(tmp_path, labelled, monkeypatch):
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path))
    records = embed(WEIGHTS, labelled, image_size=32, label="image")
    assert len(set(records.labels.tolist())) == len(records)
    (tmp_path / "plain").mkdir()
    for path in sorted(labelled.parent.glob("*.png"))[:5]:
        (tmp_path / "plain" / path.name).write_bytes(path.read_bytes())
    plain = embed(WEIGHTS, tmp_path / "plain", image_size=32)
    assert set(plain.labels.tolist()) == set(plain.groups.tolist()) == {""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "a.txt"}, r"--output a.txt: the suffix is unknown; use one of .npz, .parquet, .csv"),
        ({"output": f"{__file__}/a.npz"}, r"--output .*a.npz: .* is not a folder"),
        ({"neighbours": 75}, r"--neighbours 75: 75 images have at most 74 others"),
        ({"neighbours": 0}, r"--neighbours 0: must be 1 or more"),
        ({"dtype": "float64"}, r"--dtype float64: unknown; use one of float32, float16"),
    ],
)
def test_what_cannot_work_is_said(cache, options, message):
    with pytest.raises(dermssl.DermsslError, match=message):
        embed(WEIGHTS, cache, image_size=32, **options)


def test_a_feature_beyond_float16_is_an_error(cache, monkeypatch):
    monkeypatch.setattr(
        "dermssl.evaluation.setup.extract_features", lambda model, images, **_: np.full((len(images), 2), 1e5, "f4")
    )
    with pytest.raises(dermssl.DermsslError, match=r"--dtype float16: a feature is 100000"):
        embed(WEIGHTS, cache, image_size=32, dtype="float16")


def test_the_command(tmp_path, cache):
    output = tmp_path / "a.csv"
    arguments = ["embed", WEIGHTS, str(cache.path), "--image-size", "32", "--neighbours", "1", "--json"]
    missing = CliRunner().invoke(group, arguments)
    assert missing.exit_code == 2
    assert "--output" in missing.output
    done = CliRunner().invoke(group, [*arguments, "--output", str(output)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["images"], found["neighbours"], found["labelled"]) == (75, 1, 75)
    assert len(output.read_text().splitlines()) == 76
