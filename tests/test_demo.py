"""The demo, cut short: everything it promises is there, and a second call goes on from the first."""

import json

import pytest
from click.testing import CliRunner

import dermssl.demo as demo_module
from dermssl.cli.demo import command
from dermssl.pretraining.trainer import Trainer


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo_module, "IMAGES", 60)
    options = {"backbone": "resnet10t", "image_size": 32, "epochs": 1, "batch_size": 16, "queue_size": 32}
    monkeypatch.setattr(demo_module, "OPTIONS", {**demo_module.OPTIONS, **options})


def test_demo_leaves_a_report_and_says_what_is_next(small, tmp_path, monkeypatch):
    result = CliRunner().invoke(command, ["--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "out" / "report.html") in result.output
    assert "dermssl pretrain IMAGES" in result.output
    page = (tmp_path / "out" / "report.html").read_text()
    for heading in ("Nearest neighbours against", "Pretraining", "What the network was shown", "What it finds alike"):
        assert heading in page
    assert page.count("<img") > 7 * 3 + 7

    monkeypatch.setattr(Trainer, "train_epoch", lambda *_: pytest.fail("trained again"))
    again = CliRunner().invoke(command, ["--output", str(tmp_path / "out"), "--json"])
    assert again.exit_code == 0, again.output
    metrics = json.loads(again.stdout)["metrics"]
    first_line = result.stdout.splitlines()[0]
    assert f"{metrics['pretrained']['accuracy']:.1%}" in first_line


def test_the_page_states_the_reports_own_figures(small, tmp_path):
    result = demo_module.demo(tmp_path / "out")
    page = result.report.read_text()
    for report in (result.pretrained, result.random):
        assert f"{100 * report.metrics['recall_macro']:.1f}" in page
    assert f"{result.pretrained.majority_accuracy:.1%}" in page
