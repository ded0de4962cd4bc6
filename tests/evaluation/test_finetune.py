"""Fine-tuning from files to report, the saved model, and small shares of the labels."""

import errno
import json
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner

from dermssl.backbones.facts import normalisation
from dermssl.backbones.load import load_backbone
from dermssl.cli import fewshot as fewshot_cli
from dermssl.cli import finetune as finetune_cli
from dermssl.data.cache import source_size
from dermssl.data.prepare import evaluated, prepare
from dermssl.errors import DermsslError
from dermssl.evaluation import fitted
from dermssl.evaluation.compare import compare
from dermssl.evaluation.features import to_input
from dermssl.evaluation.fewshot import fewshot
from dermssl.evaluation.finetune import finetune
from dermssl.evaluation.knn import evaluate_knn
from dermssl.evaluation.late import NotSaved
from dermssl.evaluation.metrics import METRICS
from dermssl.evaluation.predictions import Predictions
from dermssl.evaluation.report import Report
from dermssl.evaluation.transfer import Transfer

from .conftest import write_set

FOLDS = {"folds": 3, "image_size": 32, "device": "cpu"}


def load(folder):
    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


def answers_of(folder, data, image_size=32):
    """Probabilities of the saved model, through timm alone."""
    cache = evaluated(data, image_size=image_size, progress=False)
    model = load(folder)
    inputs = to_input(torch.from_numpy(np.array(cache.images)), image_size, *normalisation(model))
    with torch.no_grad():
        return cache.records, model(inputs).softmax(dim=1).numpy()


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_frozen_reports_every_fold(labelled, recipe):
    report = finetune("random:test_resnet", labelled, freeze=True, recipe=recipe, **FOLDS)
    assert report.kind == "frozen"
    assert len(report.folds) == 3
    assert len(report.predictions) == 75
    assert report.protocol["precision"] == "float32"
    if recipe == "default":
        assert report.metrics["accuracy"] > report.majority_accuracy


def test_whole_network_learns_and_leaves_the_backbone_alone(labelled):
    backbone = load_backbone("random:resnet10t", seed=0)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    report = finetune(backbone, labelled, epochs=6, precision="fp32", **FOLDS)
    assert report.kind == "finetune"
    assert report.metrics["accuracy"] > report.majority_accuracy
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert report.protocol["training"]["epochs"] == 6
    assert report.split["groups_cut"] == 0


def test_the_folds_are_those_of_the_neighbours(labelled):
    frozen = finetune("random:test_resnet", labelled, freeze=True, **FOLDS)
    knn = evaluate_knn("random:test_resnet", labelled, k=5, **FOLDS)
    assert np.isfinite(compare(knn, frozen).interval["accuracy"]).all()


@pytest.mark.parametrize("freeze", [False, True])
def test_the_saved_model_is_the_one_that_was_tested(labelled, other, tmp_path, freeze):
    epochs = None if freeze else 2
    report = finetune(
        "random:test_resnet",
        labelled,
        test=other,
        freeze=freeze,
        epochs=epochs,
        precision="fp32",
        output=tmp_path / "model",
        **FOLDS,
    )
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["label_names"] == ["bkl", "mel", "nv"]
    assert config["num_classes"] == 3
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    records, answers = answers_of(tmp_path / "model", other)
    assert list(records.ids) == report.predictions.images.tolist()
    np.testing.assert_allclose(answers, report.predictions.probabilities, atol=1e-4)


def test_a_head_goes_into_a_classifier_that_is_written_as_a_convolution(labelled, other, tmp_path):
    report = finetune("random:dla46x_c", labelled, test=other, freeze=True, output=tmp_path / "model", **FOLDS)
    _, answers = answers_of(tmp_path / "model", other)
    np.testing.assert_allclose(answers, report.predictions.probabilities, atol=1e-4)


def test_a_classifier_that_takes_no_head_is_refused_before_the_images_are_read(tmp_path):
    with pytest.raises(DermsslError, match="--output: the classifier of IFormer is not one linear layer"):
        finetune("random:iformer_t", "nowhere", freeze=True, output=tmp_path / "model", **FOLDS)


def test_with_folds_the_saved_model_is_trained_on_everything(labelled, tmp_path):
    finetune("random:test_resnet", labelled, freeze=True, output=tmp_path / "model", **FOLDS)
    records, answers = answers_of(tmp_path / "model", labelled)
    assert (answers.argmax(axis=1) == records.labels).mean() > 0.8
    assert not [path for path in tmp_path.iterdir() if path.name != "model"]


def test_a_backbone_of_one_size_is_saved_at_the_size_it_was_trained_at(labelled, tmp_path):
    finetune("random:vit_tiny_patch16_224", labelled, freeze=True, output=tmp_path / "model", **FOLDS)
    with torch.no_grad():
        assert load(tmp_path / "model")(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize(("fit", "crop_mode"), [("squash", "squash"), ("crop", "center")])
def test_the_saved_model_says_how_its_images_became_square(labelled, tmp_path, fit, crop_mode):
    finetune("random:test_resnet", labelled, freeze=True, fit=fit, output=tmp_path / "model", **FOLDS)
    assert load(tmp_path / "model").pretrained_cfg["crop_mode"] == crop_mode


def test_the_saved_model_follows_the_images_of_a_prepared_cache(labelled, tmp_path):
    cache = prepare(labelled, tmp_path / "cache", size=source_size(32), fit="crop", progress=False)
    finetune("random:test_resnet", cache, freeze=True, output=tmp_path / "model", **FOLDS)
    assert load(tmp_path / "model").pretrained_cfg["crop_mode"] == "center"


def test_answers_are_there_even_if_the_model_cannot_be_saved(labelled, tmp_path, monkeypatch):
    def full(*_, **__):
        raise DermsslError("cannot write: No space left on device")

    monkeypatch.setattr("dermssl.evaluation.transfer.save_fitted", full)
    with pytest.raises(NotSaved, match="No space left") as caught:
        finetune(
            "random:test_resnet", labelled, freeze=True, predictions=tmp_path / "p.csv", output=tmp_path / "m", **FOLDS
        )
    assert len(caught.value.report.predictions) == 75
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 76


@pytest.mark.parametrize("freeze", [False, True])
def test_neither_report_nor_model_is_lost_if_the_answers_cannot_be_written(labelled, tmp_path, monkeypatch, freeze):
    def full(*_, **__):
        raise DermsslError("cannot write: No space left on device")

    monkeypatch.setattr(Predictions, "save", full)
    options = FOLDS | {"folds": 2, "freeze": freeze, "epochs": None if freeze else 1}
    arguments = [
        "random:test_resnet",
        str(labelled),
        "--output",
        str(tmp_path / "m"),
        "--predictions",
        str(tmp_path / "p"),
    ]
    with pytest.raises(NotSaved, match=r"--predictions .*No space left.*the report itself is complete") as caught:
        finetune("random:test_resnet", labelled, predictions=tmp_path / "p", output=tmp_path / "m", **options)
    assert caught.value.report.folds
    assert load(tmp_path / "m").num_classes == 3
    if freeze:
        arguments[3] = str(tmp_path / "again")
        result = CliRunner().invoke(finetune_cli.command, [*arguments, *TestCommands.arguments])
        assert json.loads(result.stdout)["metrics"]
        assert isinstance(result.exception, NotSaved)


def test_a_model_that_its_disk_cannot_hold_is_kept_elsewhere(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    whole = fitted.save_for_hf

    def full_disk(model, folder, *arguments, **options):
        if "temporary" not in str(folder):
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(model, folder, *arguments, **options)

    monkeypatch.setattr(fitted, "save_for_hf", full_disk)
    with pytest.raises(NotSaved, match=r"No space left.*the fitted model is kept in .*dermssl-fitted-") as caught:
        finetune("random:test_resnet", labelled, freeze=True, output=tmp_path / "m", **FOLDS)
    kept = next((tmp_path / "temporary").iterdir())
    assert str(kept) in str(caught.value)
    assert load(kept).num_classes == 3
    assert not (tmp_path / "m").exists()


def test_a_disk_without_room_for_the_model_is_refused_before_the_work(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(fitted.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(Transfer, "_fit", lambda *_, **__: pytest.fail("worked first"))
    with pytest.raises(DermsslError, match=r"--output .*: needs [\d.]+ MB, and 1.0 kB are free"):
        finetune("random:test_resnet", labelled, freeze=True, output=tmp_path / "m", **FOLDS)


def test_a_saved_model_names_no_folder_of_this_machine(labelled, tmp_path):
    finetune("random:test_resnet", labelled, freeze=True, output=tmp_path / "model", **FOLDS)
    text = (tmp_path / "model" / "config.json").read_text()
    assert str(labelled.parent) not in text
    about = json.loads(text)["dermssl"]
    assert len(about.pop("request")) == 64
    assert about == {
        "weights": "random:test_resnet",
        "trained_on": "images.csv",
        "recipe": "default",
    }


def test_a_command_that_was_killed_after_its_model_was_written_ends_as_it_would_have(labelled, tmp_path, monkeypatch):
    options = FOLDS | {"folds": 2, "freeze": True}
    report = finetune("random:test_resnet", labelled, output=tmp_path / "model", **options)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "model").iterdir()}
    monkeypatch.setattr("dermssl.evaluation.transfer.save_fitted", lambda *_, **__: pytest.fail("written again"))
    assert finetune("random:test_resnet", labelled, output=tmp_path / "model", **options).to_json() == report.to_json()
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "model").iterdir()} == before
    for other in ({"seed": 1}, {"fraction": 0.5}, {"recipe": "paper"}):
        with pytest.raises(DermsslError, match=r"--output .*: is there already"):
            finetune("random:test_resnet", labelled, output=tmp_path / "model", **{**options, **other})


def test_a_share_of_the_labels_is_counted_in_the_report(labelled):
    report = finetune("random:test_resnet", labelled, freeze=True, fraction=0.2, **FOLDS)
    assert report.protocol["fraction"] == 0.2
    assert all(8 <= count <= 12 for count in report.protocol["train_images"])
    assert len(report.predictions) == 75


def test_seeds_decide_everything(labelled):
    options = FOLDS | {"epochs": 1, "folds": 2, "precision": "fp32"}
    first, again, another = (finetune("random:test_resnet", labelled, seed=s, **options) for s in (0, 0, 1))
    assert first.to_json() == again.to_json()
    assert first.metrics != another.metrics


def test_a_class_that_training_never_saw_is_wrong_not_fatal(tmp_path):
    data = write_set(tmp_path / "set", {"bkl": 1, "mel": 12, "nv": 12})
    report = finetune("random:test_resnet", data, freeze=True, **FOLDS)
    assert report.per_class["bkl"]["recall"] == 0
    assert any("class bkl (1 image) is tested in 1 of 3 folds" in note for note in report.notes)
    assert np.isfinite([report.metrics[name] for name in METRICS]).all()


class TestErrors:
    def test_labels_unknown_to_the_fitted_model(self, labelled, tmp_path):
        test = write_set(tmp_path / "set", {"nv": 5, "df": 5}, seed=2)
        with pytest.raises(DermsslError, match="classes df are unknown to the training data"):
            finetune("random:test_resnet", labelled, test=test, **FOLDS)

    def test_output_that_holds_something(self, labelled, tmp_path):
        (tmp_path / "precious").write_text("")
        with pytest.raises(DermsslError, match=r"--output .*not an empty folder"):
            finetune("random:test_resnet", labelled, freeze=True, output=tmp_path, **FOLDS)
        assert (tmp_path / "precious").exists()

    def test_epochs_of_a_head_that_has_none(self, labelled):
        with pytest.raises(DermsslError, match=r"--epochs 5: .*logistic regression"):
            finetune("random:test_resnet", labelled, freeze=True, epochs=5, **FOLDS)

    @pytest.mark.parametrize(
        ("option", "value"), [("epochs", 0), ("fraction", 0.0), ("recipe", "best"), ("folds", 1), ("image_size", -1)]
    )
    def test_options_out_of_range(self, labelled, option, value):
        with pytest.raises(DermsslError, match=f"--{option.replace('_', '-')}"):
            finetune("random:test_resnet", labelled, **FOLDS | {option: value})

    @pytest.mark.parametrize("evaluate", [finetune, evaluate_knn])
    def test_a_negative_seed_without_folds(self, labelled, other, evaluate):
        with pytest.raises(DermsslError, match="--seed -1: must be 0 or more"):
            evaluate("random:test_resnet", labelled, test=other, seed=-1, image_size=32, device="cpu")

    def test_nan_weights(self, labelled):
        model = timm.create_model("test_resnet", num_classes=0)
        torch.nn.init.constant_(model.conv1[0].weight, float("nan"))
        with pytest.raises(DermsslError, match="NaN or infinite"):
            finetune(model, labelled, freeze=True, **FOLDS)
        with pytest.raises(DermsslError, match="the loss became nan"):
            finetune(model, labelled, epochs=1, **FOLDS)


class TestFewShot:
    weights = ("random:test_resnet", "random:mobilenetv3_small_050")

    def test_reports_every_share_and_writes_table_and_figure(self, labelled, tmp_path):
        result = fewshot(self.weights, labelled, fractions=(0.5, 0.1), freeze=True, output=tmp_path / "out", **FOLDS)
        assert result.fractions == (0.1, 0.5)
        assert list(result.reports) == list(self.weights)
        for reports in result.reports.values():
            assert [report.protocol["fraction"] for report in reports] == [0.1, 0.5]
        first, second = result.reports.values()
        assert first[0].protocol["train_images"] == second[0].protocol["train_images"]
        values = json.loads((tmp_path / "out" / "fewshot.json").read_text())
        assert values["weights"] == list(self.weights)
        assert [r["fraction"] for r in values["results"]] == [0.1, 0.5, 0.1, 0.5]
        assert "<svg" in (tmp_path / "out" / "fewshot.svg").read_text()
        assert "most frequent class" in (tmp_path / "out" / "fewshot.md").read_text()
        saved = Report.load(tmp_path / "out" / "reports" / "1-10-percent.json")
        assert len(saved.predictions) == 75

    def test_one_share_equals_finetune(self, labelled):
        result = fewshot("random:test_resnet", labelled, fractions=[0.3], freeze=True, **FOLDS)
        alone = finetune("random:test_resnet", labelled, fraction=0.3, freeze=True, **FOLDS)
        assert result.reports["random:test_resnet"][0].to_json() == alone.to_json()

    def test_errors(self, labelled):
        with pytest.raises(DermsslError, match="named twice"):
            fewshot(["random:test_resnet"] * 2, labelled, fractions=[0.3], freeze=True, **FOLDS)
        for wrong, said in ((2, "2: must be above"), (np.float32(2), "2: must be above"), ("0.3", "0.3: must be a")):
            with pytest.raises(DermsslError, match=f"--fractions {said}"):
                fewshot(["random:test_resnet"], labelled, fractions=[0.3, wrong], **FOLDS)
        with pytest.raises(DermsslError, match="WEIGHTS"):
            fewshot([], labelled)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ("random:no_such_network", "no_such_network"),
            ("no/such/run", "weights 'no/such/run': not found"),
            ("random:test_resnet", "random:test_resnet is named twice"),
        ],
    )
    def test_all_weights_are_looked_at_before_the_first_training(self, labelled, monkeypatch, wrong, message):
        monkeypatch.setattr(Transfer, "prepare", lambda *_, **__: pytest.fail("worked first"))
        with pytest.raises(DermsslError, match=message):
            fewshot(["random:test_resnet", wrong], labelled, **FOLDS)

    def test_an_output_that_holds_something_is_refused_before_the_work(self, labelled, tmp_path, monkeypatch):
        monkeypatch.setattr(Transfer, "prepare", lambda *_, **__: pytest.fail("worked first"))
        (tmp_path / "file").touch()
        with pytest.raises(DermsslError, match=r"--output .*not an empty folder"):
            fewshot(self.weights, labelled, output=tmp_path, **FOLDS)
        with pytest.raises(DermsslError, match=r"--output .*file: is a file; name a folder"):
            fewshot(self.weights, labelled, output=tmp_path / "file", **FOLDS)

    @pytest.mark.slow
    def test_what_was_made_is_there_if_the_rest_fails(self, labelled, tmp_path, monkeypatch):
        whole, made = Transfer.evaluate, []

        def stopped(*arguments, **options):
            if len(made) == 3:
                raise KeyboardInterrupt
            made.append(whole(*arguments, **options))
            return made[-1]

        monkeypatch.setattr(Transfer, "evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            fewshot(self.weights, labelled, fractions=(0.1, 0.5), freeze=True, output=tmp_path / "out", **FOLDS)
        names = ["0-10-percent.json", "0-50-percent.json", "1-10-percent.json"]
        assert sorted(path.name for path in (tmp_path / "out").rglob("*percent.json")) == names
        for name, report in zip(names, made, strict=True):
            assert Report.load(tmp_path / "out" / "reports" / name).to_json() == report.to_json()
        assert not (tmp_path / "out" / "fewshot.json").exists()

        def counted(*arguments, **options):
            made.append(whole(*arguments, **options))
            return made[-1]

        monkeypatch.setattr(Transfer, "evaluate", counted)
        options = {"fractions": (0.1, 0.5), "freeze": True, **FOLDS}
        (tmp_path / "out" / "reports" / names[1]).write_text("{")  # damaged: made again
        result = fewshot(self.weights, labelled, output=tmp_path / "out", **options)
        assert len(made) == 5
        monkeypatch.setattr(Transfer, "evaluate", whole)
        assert result.to_json() == fewshot(self.weights, labelled, **options).to_json()
        assert json.loads((tmp_path / "out" / "fewshot.json").read_text()) == json.loads(result.to_json())
        with pytest.raises(DermsslError, match=r"--output .*out: holds the results of other weights"):
            fewshot(self.weights[::-1], labelled, output=tmp_path / "out", **options)


class TestCommands:
    arguments = ("--folds", "3", "--image-size", "32", "--device", "cpu", "--freeze", "--json")

    def test_finetune(self, labelled, tmp_path):
        output, csv = tmp_path / "model", tmp_path / "answers.csv"
        result = CliRunner().invoke(
            finetune_cli.command,
            [
                "random:test_resnet", str(labelled), *self.arguments, "--output", str(output), "--predictions", str(csv)
            ],
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        report = json.loads(result.stdout)
        assert report["protocol"]["evaluation"] == "frozen"
        assert "fold 1 of 3" in result.stderr
        assert (output / "model.safetensors").exists()
        assert len(csv.read_text().splitlines()) == 76

    def test_fewshot(self, labelled):
        result = CliRunner().invoke(
            fewshot_cli.command,
            [*TestFewShot.weights, str(labelled), *self.arguments, "--fractions", "0.2,0.5"],
        )
        assert result.exit_code == 0, result.stderr
        assert len(json.loads(result.stdout)["results"]) == 4
        wrong = CliRunner().invoke(fewshot_cli.command, ["a", "b", "--fractions", "x"])
        assert wrong.exit_code == 2
        assert "not a list of numbers" in wrong.stderr


def test_predictions_that_cannot_be_written_are_refused_before_the_work(labelled, tmp_path):
    with pytest.raises(DermsslError, match=r"--predictions .*: is a folder"):
        finetune("no such weights", labelled, predictions=tmp_path, **FOLDS)


def test_a_model_that_cannot_be_saved_is_refused_before_the_work(labelled, tmp_path):
    (tmp_path / "file").touch()
    for output, message in ((tmp_path / "file", "is a file"), (tmp_path / "file" / "x", "not a folder that can be")):
        with pytest.raises(DermsslError, match=f"--output .*: .*{message}"):
            finetune("no such weights", labelled, output=output, **FOLDS)
