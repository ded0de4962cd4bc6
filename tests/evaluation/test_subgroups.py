"""Results by subgroup, against the same figures computed plainly."""

import csv
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from dermssl.cli.eval_knn import command
from dermssl.errors import DermsslError
from dermssl.evaluation.intervals import bootstrap, interval
from dermssl.evaluation.knn import evaluate_knn
from dermssl.evaluation.report import Report
from dermssl.evaluation.subgroups import LEAST_GROUPS, subgroups

from .conftest import write_set

OPTIONS = {"k": 5, "folds": 3, "image_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """105 images with sex, age (some unknown), a skin type and a column of names."""
    data = write_set(tmp_path_factory.mktemp("described") / "set", {"bkl": 25, "mel": 35, "nv": 45})
    header, *rows = list(csv.reader(data.open()))
    rng = np.random.default_rng(0)
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*header, "sex", "age", "fitzpatrick", "note"])
        for i, row in enumerate(rows):
            sex = "female" if rng.random() < 0.6 else "male"
            age = "" if i % 30 == 0 else f"{rng.integers(2, 18) * 5}.0"
            writer.writerow([*row, sex, age, ["-1", "1", "2", "6"][rng.integers(4)], f"note {i}"])
    return data


@pytest.fixture(scope="module")
def report(described):
    return evaluate_knn("random:test_resnet", described, by="sex,age,fitzpatrick", **OPTIONS)


def test_figures_of_a_subgroup_equal_those_of_its_answers(report, described):
    sex = {row["image"]: row["sex"] for row in csv.DictReader(described.open())}
    answers = report.predictions
    for row in report.by["sex"]:
        mine = np.array([sex[image] == row["value"] for image in answers.images])
        labels, said = answers.labels[mine], answers.predictions[mine]
        assert row["images"] == mine.sum()
        assert row["groups"] == len(set(answers.groups[mine]))
        assert row["metrics"]["accuracy"] == pytest.approx(accuracy_score(labels, said))
        assert row["metrics"]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, said))
        samples = bootstrap(answers.select(np.flatnonzero(mine)).in_one_fold())["accuracy"]
        assert row["interval"]["accuracy"] == interval(samples)
    assert sum(row["images"] for row in report.by["sex"]) == 105


def test_ages_come_in_bins_and_the_unknown_last(report):
    values = [row["value"] for row in report.by["age"]]
    assert values == ["under 30", "30 to 44", "45 to 59", "60 to 74", "75 and over", "not given"]
    assert sum(row["images"] for row in report.by["age"]) == 105
    assert [row["value"] for row in report.by["fitzpatrick"]] == ["1", "2", "6", "not given"]


def test_a_subgroup_too_small_for_a_figure_says_so(report):
    unknown = report.by["age"][-1]
    assert unknown["groups"] < LEAST_GROUPS
    assert math.isnan(unknown["metrics"]["accuracy"])
    assert unknown["note"] == "fewer than 20 lesions"
    line = next(line for line in report.to_markdown().splitlines() if line.startswith("| not given"))
    assert "too few" in line


def test_subgroups_survive_the_disk(report, tmp_path):
    report.save(tmp_path)
    assert json.loads(Report.load(tmp_path).to_json()) == json.loads(report.to_json())
    assert json.loads(report.to_json())["by"]["age"][-1]["metrics"]["accuracy"] is None


def test_the_other_figures_and_the_answers_do_not_change(report, described, tmp_path):
    plain = evaluate_knn("random:test_resnet", described, predictions=tmp_path / "p.csv", **OPTIONS)
    assert plain.metrics == report.metrics
    assert plain.by == {}
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == "image,group,fold,label,prediction,bkl,mel,nv"


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("colour", "--by colour: DATA .* has no such column; it has sex, age"),
        ("note", "--by note: has 105 different"),
        ([1], "--by 1: must be the name of a column"),
    ],
)
def test_what_names_no_subgroups_is_an_error(described, by, message):
    with pytest.raises(DermsslError, match=message):
        evaluate_knn("random:test_resnet", described, by=by, **OPTIONS)


def test_the_command_and_its_page(described, tmp_path):
    arguments = [
        "random:test_resnet",
        str(described),
        "--by",
        "Sex, age",
        "--image-size",
        "32",
        "--k",
        "5",
        "--folds",
        "2",
    ]
    result = CliRunner().invoke(command, [*arguments, "--page", str(tmp_path / "x.html"), "--json"])
    assert result.exit_code == 0, result.stderr
    assert list(json.loads(result.stdout)["by"]) == ["sex", "age"]
    page = (tmp_path / "x.html").read_text()
    assert "75 and over" in page
    assert "Too few: fewer than 20 lesions." in page


def test_bins_of_other_numbers_and_of_odd_values():
    assert subgroups("width", np.arange(100).astype(str))[[0, 30, 99]].tolist() == [
        "0 to 24.75",
        "24.75 to 49.5",
        "74.25 to 99",
    ]
    assert subgroups("age", np.array(["29", "30.0", "75", "nan", "200"])).tolist() == [
        "under 30",
        "30 to 44",
        "75 and over",
        "not given",
        "not given",
    ]
    assert subgroups("camera", np.array(["a", "", "1"])).tolist() == ["a", "not given", "1"]
