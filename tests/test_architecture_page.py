"""The drills of docs/architecture.md, run as they are printed there."""

import ast
import json
import re
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import dermssl
from dermssl.cli import COMMANDS, group
from dermssl.data.synthetic import write_synthetic
from dermssl.methods.registry import METHODS
from dermssl.pretraining.loop import Interrupted
from dermssl.pretraining.trainer import Trainer

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
TINY = {
    "backbone": "test_vit",
    "image_size": 32,
    "batch_size": 20,
    "epochs": 2,
    "device": "cpu",
    "workers": 1,
    "precision": "fp32",
}


def printed(beginning: str) -> str:
    """The block of code on the page that begins so."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (found,) = (block for block in blocks if block.lstrip().startswith(beginning))
    return found


def put(name: str, text: str, monkeypatch) -> Any:
    """The module of that name, made of ``text`` instead of its file."""
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(text, f"<{name}>", "exec"), module.__dict__)
    return module


@pytest.fixture
def vicreg(monkeypatch):
    """The page's file as ``dermssl/methods/vicreg.py``, and its line in the registry."""
    ((name, place),) = ast.literal_eval("{" + printed('"vicreg"') + "}").items()
    put(place.rpartition(".")[0], printed('"""VICReg'), monkeypatch)
    monkeypatch.setitem(METHODS.data, name, place)
    return name


@pytest.mark.slow
def test_a_method_is_one_file_and_one_line(vicreg, tmp_path, monkeypatch):
    images = write_synthetic(tmp_path / "images", images=40, size=40, seed=0)
    own = {"covariance": 0.5}
    unbroken = dermssl.pretrain(images, tmp_path / "unbroken", method=vicreg, **own, **TINY)
    assert unbroken.history[-1].keys() >= {"loss", "loss_invariance", "loss_variance", "loss_covariance"}
    assert unbroken.history[-1]["loss"] == pytest.approx(
        25 * unbroken.history[-1]["loss_invariance"]
        + 25 * unbroken.history[-1]["loss_variance"]
        + 0.5 * unbroken.history[-1]["loss_covariance"]
    )

    plain = Trainer._train_step

    def stopped(trainer, *batch):
        scalars = plain(trainer, *batch)
        if trainer.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return scalars

    # by the command, whose options are the constructor's, with a stop in its midst
    run = tmp_path / "run"
    options = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = ["pretrain", str(images), "--output", str(run), "--method", vicreg, "--covariance", "0.5", *options]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", stopped)
        outcome = CliRunner().invoke(group, command)
        assert isinstance(outcome.exception, Interrupted) or "stopped by SIGTERM" in outcome.output, outcome.output
    outcome = CliRunner().invoke(group, [*command, "--json"])
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout.splitlines()[-1])["metrics"]["loss"] == unbroken.history[-1]["loss"]
    assert json.loads((run / "config.json").read_text())["config"]["method_options"] == own

    with pytest.raises(dermssl.DermsslError, match="--method vicreg: --covariance -1: must be 0 or more"):
        dermssl.pretrain(images, tmp_path / "wrong", method=vicreg, covariance=-1, **TINY)

    exported = dermssl.export(run, tmp_path / "exported")
    assert exported is not None
    same = zip(dermssl.load_backbone(tmp_path / "exported").parameters(), unbroken.backbone.parameters(), strict=True)
    assert all(bool((a == b).all()) for a, b in same)


def test_its_options_are_those_of_the_command(vicreg):
    outcome = CliRunner().invoke(group, ["pretrain", "--method", vicreg, "-h"])
    words = " ".join(outcome.output.split())
    assert "--covariance FLOAT weight of the squared covariances between dimensions. [default: 1.0]" in words
    outcome = CliRunner().invoke(
        group, ["pretrain", "nowhere", "--output", "run", "--method", vicreg, "--covariance", "x"]
    )
    assert "'x' is not a valid float" in outcome.output
    with pytest.raises(dermssl.DermsslError, match="no option 'covarience'; did you mean covariance"):
        dermssl.pretrain("nowhere", "run", method=vicreg, covarience=1.0)
    with pytest.raises(dermssl.DermsslError, match="--covariance 'much': must be a number"):
        dermssl.pretrain("nowhere", "run", method=vicreg, covariance="much")
    with pytest.raises(dermssl.DermsslError, match="no option 'covariance'"):
        dermssl.pretrain("nowhere", "run", method="moco", covariance=1.0)


@pytest.fixture
def labelled(tmp_path):
    return write_synthetic(tmp_path / "labelled", images=70, size=32, seed=0)


def test_an_evaluation_is_two_files_and_one_line(labelled, tmp_path, monkeypatch):
    ((name, place),) = ast.literal_eval("{" + printed('"nearest-mean"') + "}").items()
    module = put("dermssl.evaluation.nearest_mean", printed('"""Nearest class mean'), monkeypatch)
    put(place, printed('"""``dermssl nearest-mean``'), monkeypatch)
    monkeypatch.setitem(COMMANDS, name, place)

    options = {"folds": 2, "image_size": 32, "device": "cpu"}
    report = module.nearest_mean("random:test_resnet", labelled, **options)
    assert report.protocol["evaluation"] == "nearest mean"
    assert report.protocol["sharpness"] == 10
    # the answers of a plain loop
    knn = dermssl.evaluate_knn("random:test_resnet", labelled, k=1, **options)
    features = dict(zip(*embedded(labelled), strict=True))
    rows = report.predictions.sorted()
    assert rows.images.tolist() == knn.predictions.sorted().images.tolist()
    for image, fold, answer in zip(rows.images, rows.folds, rows.predictions, strict=True):
        nearness = []
        for label in range(len(rows.classes)):
            others = [features[i] for i in rows.images[(rows.folds != fold) & (rows.labels == label)]]
            mean = np.mean([other / np.linalg.norm(other) for other in others], axis=0) if others else np.zeros(1)
            nearness.append(features[image] @ mean / np.linalg.norm(mean) if others else -np.inf)
        assert int(np.argmax(nearness)) == answer

    words = [name, "random:test_resnet", str(labelled), "--folds", "2", "--image-size", "32", "--device", "cpu"]
    outcome = CliRunner().invoke(group, [*words, "--json", "--page", str(tmp_path / "page.html")])
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["metrics"] == json.loads(report.to_json())["metrics"]
    assert "nearest mean" in (tmp_path / "page.html").read_text()
    report.save(tmp_path / "saved")
    compared = dermssl.compare(dermssl.Report.load(tmp_path / "saved"), knn)
    assert compared.protocol["evaluation"] == ("nearest mean", "knn")
    help_text = CliRunner().invoke(group, [name, "-h"]).output
    assert "--folds" in help_text
    assert "--by" in help_text
    assert name in CliRunner().invoke(group, ["-h"]).output


def embedded(data):
    found = dermssl.embed("random:test_resnet", data, image_size=32, device="cpu")
    return found.ids, found.features


def test_an_option_is_one_field_and_the_lines_that_read_it(labelled, monkeypatch):
    package = Path(dermssl.__file__).parent
    places = {
        "evaluation/arguments": ('    """Of ``evaluate_knn``."""\n', printed("center:")),
        "evaluation/knn": (
            "    train_features, test_features = features_of(setup, protocol)\n",
            printed("if options.center"),
        ),
        "cli/eval_knn": ("", ""),
    }
    for place, (before, lines) in places.items():
        text = (package / f"{place}.py").read_text(encoding="utf-8")
        assert text.count(before) == 1 or not before
        put(f"dermssl.{place.replace('/', '.')}", text.replace(before, before + lines) if before else text, monkeypatch)
    evaluate_knn = sys.modules["dermssl.evaluation.knn"].evaluate_knn

    options = {"k": 3, "folds": 2, "image_size": 32, "device": "cpu"}
    plain = dermssl.evaluate_knn("random:test_resnet", labelled, **options)
    assert evaluate_knn("random:test_resnet", labelled, **options).to_json() == plain.to_json()
    centred = evaluate_knn("random:test_resnet", labelled, center=True, **options)
    assert (centred.predictions.probabilities != plain.predictions.probabilities).any()
    assert "center: Subtract the mean of the training features first. Default: False." in evaluate_knn.__doc__
    with pytest.raises(dermssl.DermsslError, match="--center 'often': must be true or false"):
        evaluate_knn("random:test_resnet", labelled, center="often")
    with pytest.raises(dermssl.DermsslError, match="has no option 'centre'; did you mean center"):
        evaluate_knn("random:test_resnet", labelled, centre=True)

    words = [
        "eval-knn",
        "random:test_resnet",
        str(labelled),
        "--k",
        "3",
        "--folds",
        "2",
        "--image-size",
        "32",
        "--device",
        "cpu",
    ]
    outcome = CliRunner().invoke(group, [*words, "--center", "--json"])
    assert json.loads(outcome.stdout)["metrics"] == json.loads(centred.to_json())["metrics"], outcome.output
    assert "--center Subtract the mean" in " ".join(CliRunner().invoke(group, ["eval-knn", "-h"]).output.split())
