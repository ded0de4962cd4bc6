"""A report survives the disk; two of them are compared image by image."""

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from dermssl.cli.compare import command
from dermssl.errors import DermsslError
from dermssl.evaluation.compare import compare
from dermssl.evaluation.intervals import bootstrap
from dermssl.evaluation.knn import evaluate_knn
from dermssl.evaluation.predictions import Predictions
from dermssl.evaluation.report import Report

OPTIONS = {"k": 5, "folds": 3, "image_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def report(labelled):
    return evaluate_knn("random:resnet18", labelled, **OPTIONS)


@pytest.fixture(scope="module")
def rival(labelled):
    return evaluate_knn("random:mobilenetv3_small_050", labelled, **OPTIONS)


def same(a, b):
    return json.loads(a.to_json()) == json.loads(b.to_json())


@pytest.mark.parametrize("name", ["folder", "one.json"])
def test_save_and_load(report, tmp_path, name):
    report.save(tmp_path / name)
    loaded = Report.load(tmp_path / name)
    assert same(loaded, report)
    cut = {**report.records["train"], "source": "set"}  # of an absolute path the last part
    assert loaded == replace(report, data="images.csv", records={"train": cut, "test": None})
    for column in ("images", "groups", "folds", "labels", "predictions"):
        np.testing.assert_array_equal(getattr(loaded.predictions, column), getattr(report.predictions, column))
    np.testing.assert_allclose(loaded.predictions.probabilities, report.predictions.probabilities, rtol=1e-8)


def test_undefined_figures_are_null_in_json_and_nan_again(labelled, other, tmp_path):
    report = evaluate_knn("random:resnet18", labelled, test=other, **OPTIONS)
    assert json.loads(report.to_json())["std"]["accuracy"] is None
    report.save(tmp_path)
    assert math.isnan(Report.load(tmp_path).std["accuracy"])
    assert "nan" not in report.to_markdown().lower()


def test_what_the_json_option_printed_loads_with_its_predictions(report, tmp_path):
    (tmp_path / "printed.json").write_text(report.to_json())
    report.predictions.save(tmp_path / "answers.csv")
    assert Report.load(tmp_path / "printed.json").predictions is None
    loaded = Report.load(tmp_path / "printed.json", tmp_path / "answers.csv")
    assert len(loaded.predictions) == len(report.predictions)


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "{}", '{"metrics": {}}'])
def test_a_file_that_is_no_report_is_an_error_that_names_it(tmp_path, text):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(DermsslError, match=r"x\.json"):
        Report.load(tmp_path / "x.json")


@pytest.mark.parametrize("text", ["", "image,label\na,b\n", "image,group,fold,label,prediction,a\ni,g,0,b,a,1\n"])
def test_a_table_that_holds_no_predictions_is_an_error(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DermsslError, match=r"x\.csv"):
        Predictions.load(tmp_path / "x.csv")


def test_predictions_cannot_be_written_where_a_folder_stands(report, tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(DermsslError, match=r"cannot write .*x\.csv"):
        report.predictions.save(tmp_path / "x.csv")


def test_difference_is_paired(report, rival):
    result = compare(report, rival)
    assert result.images == 75
    for name in ("accuracy", "recall_macro", "auroc_macro"):
        assert result.difference[name] == pytest.approx(rival.metrics[name] - report.metrics[name])
        low, high = result.interval[name]
        assert low <= result.difference[name] <= high
    samples = [bootstrap(r.predictions.sorted())["accuracy"] for r in (report, rival)]
    expected = np.quantile(samples[1] - samples[0], [0.025, 0.975])
    np.testing.assert_allclose(result.interval["accuracy"], expected)
    assert "| accuracy" in result.to_markdown()


def test_a_model_is_as_good_as_itself(report, tmp_path):
    report.save(tmp_path)
    result = compare(report, Report.load(tmp_path))
    assert set(result.interval["accuracy"]) == {0.0}
    assert not result.significant("accuracy")
    assert not result.protocol


def test_what_was_evaluated_differently_is_named(report, labelled):
    result = compare(report, evaluate_knn("random:resnet18", labelled, **OPTIONS | {"k": 9}))
    assert result.protocol == {"k": (5, 9)}
    assert "k 5 and 9" in result.to_markdown()


def test_other_folds_other_images_and_no_predictions_are_errors(report, labelled, other, tmp_path):
    with pytest.raises(DermsslError, match="not of the same folds"):
        compare(report, evaluate_knn("random:resnet18", labelled, **OPTIONS, split="paper"))
    with pytest.raises(DermsslError, match="75 are in the first only and 30 in the second"):
        compare(report, evaluate_knn("random:resnet18", labelled, test=other, **OPTIONS))
    (tmp_path / "x.json").write_text(report.to_json())
    with pytest.raises(DermsslError, match="holds no predictions"):
        compare(report, Report.load(tmp_path / "x.json"))
    with pytest.raises(DermsslError, match=r"compare: 'x\.json' is not a report; give what an"):
        compare(report, "x.json")
    with pytest.raises(DermsslError, match="--resamples 0: must be 1 or more"):
        compare(report, report, resamples=0)
    with pytest.raises(DermsslError, match="--seed -1: must be 0 or more"):
        compare(report, report, seed=-1)


def test_lesions_of_other_names_are_the_same_and_others_an_error(report, rival):
    """Else the two would be resampled with different lesions, and the difference would not be paired."""
    names = np.unique(rival.predictions.groups, return_inverse=True)[1]
    renamed = replace(rival.predictions, groups=np.array([f"lesion {997 * (n + 1) % 1009}" for n in names]))
    assert compare(report, replace(rival, predictions=renamed)).interval == compare(report, rival).interval
    alone = replace(rival.predictions, groups=rival.predictions.images)
    with pytest.raises(DermsslError, match="25 of 75 images are of another lesion in the second; use the same --group"):
        compare(report, replace(rival, predictions=alone))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metrics", [1]),
        ("metrics", {"accuracy": "0.9"}),
        ("interval", {"accuracy": 0.5}),
        ("classes", "mel"),
        ("folds", {"a": 1}),
        ("notes", [1]),
        ("confusion", [["a"]]),
        ("majority_accuracy", True),
        ("per_class", {"mel": {"precision": 1.0}}),
        ("by", {"sex": [{"value": "male"}]}),
        ("weights", None),
        ("metrics", {}),
        ("majority_accuracy", None),
        ("folds", [{"accuracy": 0.5}]),
        ("records", {"train": "set"}),
        ("split", {"groups": "many"}),
        ("classes", ["mel"]),
        ("confusion", [[1, 2], [3, 4]]),
    ],
)
def test_a_damaged_report_is_one_error_that_names_file_and_part(report, tmp_path, name, value):
    (tmp_path / "x.json").write_text(json.dumps({**json.loads(report.to_json()), name: value}))
    with pytest.raises(DermsslError, match=rf"x\.json is damaged .*{name}"):
        Report.load(tmp_path / "x.json")


def test_what_a_report_does_not_tell_is_unknown(report, tmp_path):
    """As in one of an earlier version, which knew fewer metrics."""
    values = json.loads(report.to_json())
    for part in ("metrics", "std", "interval"):
        del values[part]["precision_macro"]
    (tmp_path / "x.json").write_text(json.dumps(values))
    report.predictions.save(tmp_path / "x.csv")
    loaded = Report.load(tmp_path / "x.json")
    assert np.isnan(loaded.metrics["precision_macro"])
    assert "precision" in loaded.to_markdown()
    assert np.isnan(compare(report, loaded).difference["precision_macro"])


def test_what_only_a_later_version_tells_is_left_out(report, tmp_path):
    values = json.loads(report.to_json())
    values["metrics"]["kappa"] = values["std"]["kappa"] = 0.5
    (tmp_path / "x.json").write_text(json.dumps(values | {"more": 1}))
    loaded = Report.load(tmp_path / "x.json")
    assert same(loaded, report)
    assert loaded.to_markdown()


def test_answers_of_another_report_are_refused(report, rival, tmp_path):
    (tmp_path / "x.json").write_text(report.to_json())
    rival.predictions.save(tmp_path / "x.csv")
    with pytest.raises(DermsslError, match=r"x\.csv: these are not the answers that .*x\.json was computed from"):
        Report.load(tmp_path / "x.json")
    report.predictions.save(tmp_path / "right.csv")
    assert Report.load(tmp_path / "x.json", tmp_path / "right.csv").predictions is not None


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"kind": "\\ud800"}', "\0", '{"metrics": ' + "1" * 5000 + "}", "\ufeff{}"]
)
def test_what_no_program_of_ours_wrote_is_an_error(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DermsslError, match=r"x\.json"):
        Report.load(tmp_path / "x.json")


@pytest.mark.parametrize("cell", ["nan", "2", "-1", "x", "", "1e999"])
def test_a_probability_that_is_none_is_an_error(report, tmp_path, cell):
    report.predictions.save(tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    lines[3] = ",".join([*lines[3].split(",")[:-1], cell])
    (tmp_path / "x.csv").write_text("\n".join(lines))
    with pytest.raises(DermsslError, match=r"x\.csv"):
        Predictions.load(tmp_path / "x.csv")


def test_a_pipe_in_the_place_of_a_file_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(DermsslError, match=r"x\.json .*is a FIFO"):
        Report.load(tmp_path / "x.json")
    with pytest.raises(DermsslError, match=r"x\.json.*is a FIFO"):
        Predictions.load(tmp_path / "x.json")


def test_the_calibration_error_lies_inside_its_interval(report, rival):
    for one in (report, rival):
        low, high = one.interval["ece"]
        assert low <= one.metrics["ece"] <= high
    result = compare(report, rival)
    low, high = result.interval["ece"]
    assert low <= result.difference["ece"] <= high


class TestCompareCommand:
    def test_json_and_table_of_what_two_commands_wrote(self, report, rival, tmp_path):
        for name, one in (("a", report), ("b", rival)):
            (tmp_path / f"{name}.json").write_text(one.to_json())
            one.predictions.save(tmp_path / f"{name}.csv")
        arguments = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
        result = CliRunner().invoke(command, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        expected = compare(report, rival)
        assert (said["a"], said["b"], said["images"]) == (report.weights, rival.weights, 75)
        assert said["difference"]["accuracy"] == pytest.approx(expected.difference["accuracy"])
        assert said["interval"]["accuracy"] == pytest.approx(expected.interval["accuracy"])
        assert ("accuracy" in said["significant"]) == expected.significant("accuracy")
        assert "| accuracy" in CliRunner().invoke(command, arguments).stdout

    def test_a_report_without_its_answers_is_an_error(self, report, tmp_path):
        (tmp_path / "a.json").write_text(report.to_json())
        (tmp_path / "a.csv").write_text("image,label\n")  # some other table of the same name
        result = CliRunner().invoke(command, [str(tmp_path / "a.json")] * 2)
        assert isinstance(result.exception, DermsslError)
        assert "holds no predictions" in str(result.exception)
