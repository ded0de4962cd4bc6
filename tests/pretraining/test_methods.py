"""Each method through ``dermssl pretrain``: its parts in the metrics, exact resume, options it has no use for."""

import json
import logging
import math

import pytest
import torch
from click.testing import CliRunner

import dermssl
from dermssl.cli import group
from dermssl.methods.registry import METHODS
from dermssl.pretraining.loop import Interrupted

pytestmark = pytest.mark.slow  # every method is trained, killed and resumed

PARTS = {
    "rotinstdisc": {"loss", "loss_instance", "loss_rotation", "rotation_accuracy"},
    "moco": {"loss", "loss_instance"},
    "rotation": {"loss", "rotation_accuracy"},
    "simclr": {"loss"},
    "byol": {"loss", "spread"},
    "pirl": {"loss", "loss_patches", "loss_image"},
}
CLOCK = {"epoch", "step", "lr", "images_per_second", "seconds"}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_by_the_command(images, tiny, tmp_path, method):
    tiny["epochs"] = 1
    options = [part for name, value in tiny.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = ["pretrain", str(images), "--output", str(tmp_path / "run"), "--method", method, *options, "--json"]
    outcome = CliRunner().invoke(group, command)
    assert outcome.exit_code == 0, outcome.output
    metrics = json.loads(outcome.stdout.splitlines()[-1])["metrics"]
    assert metrics.keys() == CLOCK | PARTS[method]
    assert all(math.isfinite(metrics[name]) for name in PARTS[method])
    start = dermssl.load_backbone(f"random:{tiny['backbone']}").conv1[0].weight
    assert not torch.equal(dermssl.load_backbone(tmp_path / "run").conv1[0].weight, start)


@pytest.mark.parametrize("method", ["byol", "pirl", "moco", "rotation", "simclr"])
def test_resume_is_exact(images, tiny, tmp_path, monkeypatch, signal_after, method):
    tiny |= {"epochs": 2, "method": method}
    unbroken = dermssl.pretrain(images, tmp_path / "unbroken", **tiny)
    signal_after(monkeypatch, 4)
    with pytest.raises(Interrupted):
        dermssl.pretrain(images, tmp_path / "broken", **tiny)
    monkeypatch.undo()
    resumed = dermssl.pretrain(images, tmp_path / "broken", **tiny)
    a, b = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("unbroken", "broken"))
    for part in ("state_dict", "task_state"):
        assert flat(a.get(part, {})).keys() == flat(b.get(part, {})).keys()
        assert all(torch.equal(t, flat(b[part])[name]) for name, t in flat(a.get(part, {})).items())
    for one, other in zip(unbroken.history, resumed.history, strict=True):
        assert {name: one[name] for name in PARTS[method]} == {name: other[name] for name in PARTS[method]}


def flat(state, prefix: str = "") -> dict[str, torch.Tensor]:
    """Tensors of nested dicts by their path."""
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        found |= flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value}
    return found


@pytest.mark.parametrize("method", ["rotation", "simclr", "byol"])
def test_a_set_smaller_than_the_queue_is_no_matter_without_a_queue(images, tiny, tmp_path, method):
    del tiny["queue_size"]
    result = dermssl.pretrain(images, tmp_path / "run", **{**tiny, "method": method, "epochs": 1})
    assert result.history[-1]["step"] == 3


def test_options_that_a_method_has_no_use_for_are_named(images, tiny, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dermssl")
    dermssl.pretrain(images, tmp_path / "run", method="byol", temperature=0.1, **{**tiny, "epochs": 1})
    assert "byol has no use for --queue-size, --temperature" in caplog.text


def test_what_only_the_recipe_says_is_not_named(images, tiny, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dermssl")
    del tiny["queue_size"]
    dermssl.pretrain(images, tmp_path / "run", method="byol", recipe="short", **{**tiny, "epochs": 1})
    assert "has no use for" not in caplog.text


@pytest.mark.parametrize("method", ["simclr", "pirl"])
def test_a_frozen_loss_is_reported(images, tiny, tmp_path, monkeypatch, caplog, method):
    plain = METHODS[method].forward

    def collapsed(task, views, target):
        return plain(task, tuple(view * 0 for view in views), target)

    monkeypatch.setattr(METHODS[method], "forward", collapsed)
    tiny |= {"method": method, "batch_size": 25}
    with caplog.at_level(logging.WARNING, "dermssl"):
        dermssl.pretrain(images, tmp_path / "run", **tiny)
    assert "the value of guessing" in caplog.text


def test_pirl_with_a_backbone_made_for_one_size(images, tiny, tmp_path):
    tiny |= {"method": "pirl", "backbone": "vit_tiny_patch16_224", "epochs": 1, "limit": 32}
    assert math.isfinite(dermssl.pretrain(images, tmp_path / "run", **tiny).history[-1]["loss"])
