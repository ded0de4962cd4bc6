"""The KNN evaluation from files to report, and its command."""

import json

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from dermssl.backbones.load import load_backbone
from dermssl.cli.eval_knn import command
from dermssl.data.prepare import evaluated
from dermssl.errors import DermsslError
from dermssl.evaluation.features import extract_features
from dermssl.evaluation.knn import evaluate_knn
from dermssl.evaluation.metrics import METRICS
from dermssl.evaluation.predictions import Predictions

from .conftest import write_set

OPTIONS = {"k": 5, "folds": 3, "image_size": 32, "device": "cpu"}


def test_report_equals_scikit_learn_on_the_same_features_and_folds(labelled, tmp_path):
    report = evaluate_knn("random:resnet18", labelled, predictions=tmp_path / "p.csv", **OPTIONS)
    cache = evaluated(labelled, image_size=32, progress=False)
    model = load_backbone("random:resnet18", seed=0)
    features = extract_features(model, cache.images, image_size=32, device="cpu", precision="fp32")
    answers = Predictions.load(tmp_path / "p.csv").sorted()
    order = np.argsort(cache.records.ids)
    assert answers.images.tolist() == np.array(cache.records.ids)[order].tolist()
    fold = np.empty(len(order), int)
    fold[order] = answers.folds
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(3)]
    oracle = KNeighborsClassifier(5, metric="cosine", algorithm="brute")
    scores = cross_val_score(oracle, features, cache.records.labels, cv=splits)
    assert [f["accuracy"] for f in report.folds] == pytest.approx(scores.tolist())
    assert report.metrics["accuracy"] == pytest.approx(scores.mean())
    assert report.std["accuracy"] == pytest.approx(scores.std(ddof=1))
    low, high = report.interval["accuracy"]
    assert low <= report.metrics["accuracy"] <= high


def test_no_lesion_is_in_two_folds_and_the_report_says_what_a_plain_split_cuts(labelled):
    report = evaluate_knn("random:resnet18", labelled, **OPTIONS)
    folds_of = {}
    for group, fold in zip(report.predictions.groups, report.predictions.folds, strict=True):
        folds_of.setdefault(group, set()).add(int(fold))
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert report.split["groups"] == len(folds_of)
    assert report.split["groups_cut"] == 0
    assert report.split["groups_cut_by_plain_split"] > 0
    plain = evaluate_knn("random:resnet18", labelled, split="paper", **OPTIONS)
    assert plain.split["groups_cut"] == report.split["groups_cut_by_plain_split"]
    assert any("figures are too good" in note for note in plain.notes)


def test_majority_answer_stands_beside_the_accuracy(labelled):
    report = evaluate_knn("random:resnet18", labelled, **OPTIONS)
    assert report.majority_accuracy == pytest.approx(40 / 75, abs=0.02)
    lines = report.to_markdown().splitlines()
    accuracy = next(i for i, line in enumerate(lines) if line.startswith("| accuracy"))
    assert "most frequent class" in lines[accuracy + 1]
    assert f"{100 * report.majority_accuracy:.2f}" in lines[accuracy + 1]


def test_a_module_is_evaluated_as_it_is_and_left_so(labelled):
    model = load_backbone("random:resnet18", seed=0).train()
    cache = evaluated(labelled, image_size=32, progress=False)
    by_module = evaluate_knn(model, cache, **OPTIONS)
    by_name = evaluate_knn("random:resnet18", labelled, **OPTIONS)
    assert model.training
    assert by_module.metrics == by_name.metrics
    assert by_module.weights == "module:resnet18"
    assert by_module.data == by_name.records["train"]["source"]


def test_a_test_set_is_tested_against_the_whole_of_the_data(labelled, other):
    report = evaluate_knn("random:resnet18", labelled, test=other, **OPTIONS)
    assert len(report.folds) == 1
    assert report.folds[0]["train_images"] == 75
    assert len(report.predictions) == report.folds[0]["test_images"] == 30
    assert report.majority_accuracy == pytest.approx(12 / 30)
    assert np.isnan(report.std["accuracy"])
    assert report.protocol["test"] == str(other.parent)
    assert report.protocol["folds"] is None
    assert not report.notes


def test_a_test_set_that_shares_images_is_reported(labelled):
    report = evaluate_knn("random:resnet18", labelled, test=labelled, **OPTIONS)
    assert report.split["shared_images"] == 75
    assert "75 of the 75 test images" in report.notes[0]


def test_a_backbone_of_one_size_is_made_to_fit(labelled):
    report = evaluate_knn("random:vit_tiny_patch16_224", labelled, **OPTIONS)
    assert report.protocol["image_size"] == 32
    assert report.protocol["feature_width"] == 192


def test_seeds_decide_everything(labelled):
    first, again, another = (evaluate_knn("random:resnet18", labelled, seed=seed, **OPTIONS) for seed in (0, 0, 1))
    assert first.to_json() == again.to_json()
    assert first.metrics != another.metrics


def test_unlabelled_images_are_left_out_with_a_count(tmp_path):
    data = write_set(tmp_path / "set", {"mel": 10, "nv": 12})
    text = data.read_text().replace("nv_0_0.png,nv", "nv_0_0.png,")
    data.write_text(text)
    report = evaluate_knn("random:resnet18", data, **OPTIONS)
    assert len(report.predictions) == 21
    assert report.records["train"]["unlabelled"] == 1


def test_data_without_lesions_says_that_every_image_is_its_own_group(tmp_path):
    data = write_set(tmp_path / "set", {"mel": 10, "nv": 12}, groups=False)
    report = evaluate_knn("random:resnet18", data, **OPTIONS)
    assert report.split["groups"] is None
    assert any("names no lesions" in note for note in report.notes)


class TestErrors:
    @pytest.mark.parametrize("k", [51, 1000])
    def test_k_larger_than_the_bank(self, labelled, k):
        with pytest.raises(DermsslError, match=rf"--k {k}: the bank holds only (49|50) images"):
            evaluate_knn("random:resnet18", labelled, **OPTIONS | {"k": k})

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("k", 0, "--k 0: must be 1 or more"),
            ("weighting", "votes", "--weighting votes: unknown"),
            ("image_size", 0, "--image-size 0"),
            ("image_size", 7, "--image-size 7: must be 8 or more"),
        ],
    )
    def test_options_out_of_range(self, labelled, option, value, message):
        with pytest.raises(DermsslError, match=message):
            evaluate_knn("random:resnet18", labelled, **OPTIONS | {option: value})

    def test_one_class_only(self, tmp_path):
        data = write_set(tmp_path / "set", {"nv": 12})
        with pytest.raises(DermsslError, match=r"all 12 labelled images are of one class \(nv\)"):
            evaluate_knn("random:resnet18", data, **OPTIONS)

    def test_a_class_with_fewer_images_than_folds_is_a_note_not_a_stop(self, tmp_path):
        data = write_set(tmp_path / "set", {"bkl": 2, "mel": 10, "nv": 12})
        report = evaluate_knn("random:resnet18", data, **OPTIONS)
        assert any("class bkl (2 images) is tested in 1 of 3 folds" in note for note in report.notes)
        assert all(np.isfinite(report.metrics[name]) for name in METRICS)
        assert np.isfinite(report.interval["recall_macro"]).all()

    def test_labels_unknown_to_the_bank(self, labelled, tmp_path):
        test = write_set(tmp_path / "set", {"nv": 5, "vasc": 5}, seed=2)
        with pytest.raises(DermsslError, match=r"--test .*its classes vasc are unknown to the training data"):
            evaluate_knn("random:resnet18", labelled, test=test, **OPTIONS)

    def test_test_set_without_labels(self, labelled, tmp_path):
        test = write_set(tmp_path / "set", {"nv": 5, "mel": 5}, seed=2, labels=False)
        with pytest.raises(DermsslError, match=r"--test .*carries a label"):
            evaluate_knn("random:resnet18", labelled, test=test, **OPTIONS)

    def test_nan_features(self, labelled):
        model = timm.create_model("resnet18", num_classes=0)
        torch.nn.init.constant_(model.conv1.weight, float("nan"))
        with pytest.raises(DermsslError, match="NaN or infinite"):
            evaluate_knn(model, labelled, **OPTIONS)


class TestCommand:
    arguments = ("--k", "5", "--folds", "3", "--image-size", "32", "--device", "cpu")

    def test_json_is_one_object_and_the_only_thing_on_standard_output(self, labelled, tmp_path):
        csv = tmp_path / "answers.csv"
        result = CliRunner().invoke(
            command, ["random:resnet18", str(labelled), *self.arguments, "--json", "--predictions", str(csv)]
        )
        assert result.exit_code == 0, result.stderr
        report = json.loads(result.stdout)
        for key in ("weights", "data", "protocol", "metrics", "std", "interval", "majority_accuracy", "per_class"):
            assert key in report
        assert report["weights"] == "random:resnet18"
        assert report["data"] == labelled.name
        assert report["protocol"]["k"] == 5
        assert len(report["folds"]) == 3
        assert set(report["metrics"]) == set(METRICS)
        header, *rows = csv.read_text().splitlines()
        assert header == "image,group,fold,label,prediction,bkl,mel,nv"
        assert len(rows) == 75

    def test_prints_a_table(self, labelled):
        result = CliRunner().invoke(command, ["random:resnet18", str(labelled), *self.arguments])
        assert result.exit_code == 0, result.stderr
        assert "| accuracy" in result.stdout
        assert "| mel" in result.stdout


def test_what_cannot_be_written_is_refused_before_the_work(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr("dermssl.evaluation.setup.extract_features", lambda *_, **__: pytest.fail("worked first"))
    with pytest.raises(DermsslError, match=r"--predictions .*: is a folder"):
        evaluate_knn("random:resnet18", labelled, predictions=tmp_path, **OPTIONS)
    with pytest.raises(DermsslError, match="--batch-size 0: must be 1 or more"):
        evaluate_knn("random:resnet18", labelled, batch_size=0, **OPTIONS)
