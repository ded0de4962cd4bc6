"""Features in the plane: purity against a plain loop, the same points for the same seed, and the command."""

import csv
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

import dermssl
from dermssl.cli.project import command
from dermssl.errors import DermsslError
from dermssl.evaluation.projection import neighbour_purity, project, same_class_share, tsne, unit_length
from dermssl.reporting.projection_page import scatter

WEIGHTS = "random:test_resnet"
OPTIONS = {"image_size": 32, "perplexity": 10, "k": 5}


@pytest.fixture(scope="module")
def projection(labelled):
    return dermssl.project(WEIGHTS, labelled, **OPTIONS)


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    vectors = unit_length(rng.normal(size=(60, 8)) + labels[:, None]).astype(np.float32)
    return vectors, labels, np.array([f"lesion {i // 2}" for i in range(60)])


@pytest.mark.parametrize("k", [1, 7])
@pytest.mark.parametrize("chunk", [13, 1024])
def test_purity_is_that_of_a_plain_loop(cloud, k, chunk, monkeypatch):
    monkeypatch.setattr("dermssl.evaluation.projection.CHUNK", chunk)
    vectors, labels, groups = cloud
    plain = []
    for i in range(60):
        others = [j for j in range(60) if groups[j] != groups[i]]
        nearest = sorted(others, key=lambda j: -float(vectors[i] @ vectors[j]))[:k]
        plain.append(sum(labels[j] == labels[i] for j in nearest) / k)
    np.testing.assert_allclose(neighbour_purity(vectors, labels, groups, k=k), plain)


def test_chance_is_the_share_among_images_of_other_lesions(cloud):
    _, labels, groups = cloud
    plain = [np.mean([labels[j] == labels[i] for j in range(60) if groups[j] != groups[i]]) for i in range(60)]
    np.testing.assert_allclose(same_class_share(labels, groups), plain)


def test_purity_of_unrelated_features_is_chance_and_of_separate_ones_is_1():
    rng = np.random.default_rng(1)
    labels = rng.choice(3, 1500, p=[0.7, 0.2, 0.1])
    groups = np.arange(1500)
    noise = rng.normal(size=(1500, 16))
    chance = same_class_share(labels, groups).mean()
    assert abs(neighbour_purity(noise, labels, groups, k=10).mean() - chance) < 0.02
    apart = noise + 100 * np.eye(16)[labels]
    assert neighbour_purity(apart, labels, groups, k=10).mean() == 1


def test_the_seed_decides(labelled, projection):
    again = project(WEIGHTS, labelled, **OPTIONS)
    np.testing.assert_array_equal(projection.points, again.points)
    assert projection.to_json() == again.to_json()
    drawn = [project(WEIGHTS, labelled, limit=50, seed=seed, **OPTIONS).ids.tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 50


def test_separate_groups_stay_apart_in_the_plane():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], 25)
    points = tsne(np.eye(8)[labels] * 5 + rng.normal(size=(75, 8)) * 0.1, perplexity=8, seed=0)
    assert points.shape == (75, 2)
    assert neighbour_purity(points, labels, np.arange(75), k=10).mean() == 1


def test_tables_agree(projection):
    assert list(projection.per_class) == ["bkl", "mel", "nv"]
    assert [row["images"] for row in projection.per_class.values()] == [15, 20, 40]
    of_classes = [projection.per_class[name]["purity"] for name in ("bkl", "mel", "nv")]
    assert projection.overall["purity"] == pytest.approx(np.average(of_classes, weights=[15, 20, 40]))
    assert projection.class_mean["purity"] == pytest.approx(np.mean(of_classes))
    assert f"{100 * projection.overall['purity']:.2f}" in projection.to_markdown()
    rows = list(csv.DictReader(projection.to_csv().splitlines()))
    assert len(rows) == 75
    assert {row["label"] for row in rows} == {"bkl", "mel", "nv"}
    assert np.mean([float(row["purity"]) for row in rows]) == pytest.approx(projection.overall["purity"], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perplexity": 75}, "--perplexity 75: must be above 0 and below the number of images"),
        ({"perplexity": 0}, "--perplexity 0"),
        ({"limit": 2}, "--limit 2"),
        ({"k": 75}, "--k 75"),
        ({"k": 0}, "--k 0"),
        ({"seed": -1}, "--seed -1: must be 0 or more"),
    ],
)
def test_bad_options(options, message, labelled):
    with pytest.raises(DermsslError, match=message):
        project(WEIGHTS, labelled, **{**OPTIONS, **options})


def test_equal_features_are_an_error():
    with pytest.raises(DermsslError, match="the same features"):
        tsne(np.ones((20, 4), np.float32), perplexity=5, seed=0)


def test_figure_names_every_class_also_beyond_the_colours():
    rng = np.random.default_rng(0)
    classes = [f"class {i}" for i in range(10)]
    svg = scatter(rng.normal(size=(200, 2)), np.arange(200) % 10, classes)
    for name in classes:
        assert f"{name} (20)" in svg
    assert scatter(rng.normal(size=(5, 2)), np.zeros(5, int), ["nv"]).startswith("<?xml")


def test_command_writes_page_figure_and_points(labelled, tmp_path):
    arguments = [WEIGHTS, str(labelled), "--output", str(tmp_path / "out"), "--image-size", "32", "--perplexity", "10"]
    result = CliRunner().invoke(command, [*arguments, "--limit", "60", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed["protocol"]["images"] == 60
    assert set(printed["purity"]["per_class"]) == {"bkl", "mel", "nv"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "points.csv",
        "projection.html",
        "projection.svg",
    ]
    page = (tmp_path / "out" / "projection.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "<th" in page
