"""The drills of docs/architecture.md, run as they are printed there."""

import ast
import importlib.util
import json
import re
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import dermssl
from dermssl.cli import group
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


@pytest.fixture
def vicreg(tmp_path, monkeypatch):
    """The page's file as ``dermssl/methods/vicreg.py``, and its line in the registry."""
    file, line = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[:2]
    path = tmp_path / "vicreg.py"
    path.write_text(file)
    ((name, place),) = ast.literal_eval("{" + line + "}").items()
    module = place.rpartition(".")[0]
    spec = importlib.util.spec_from_file_location(module, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    monkeypatch.setitem(sys.modules, module, loaded)
    monkeypatch.setitem(METHODS.data, name, place)
    return name


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
