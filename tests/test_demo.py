"""The demo, cut short: everything it promises is there, and a second call goes on from the first."""

import json

import pytest
from click.testing import CliRunner

import dermssl.demonstration as demo_module
from dermssl.cli.demo import command
from dermssl.errors import DermsslError
from dermssl.pretraining.trainer import Trainer


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo_module, "IMAGES", 60)
    options = {"backbone": "test_resnet", "image_size": 32, "epochs": 1, "batch_size": 16, "queue_size": 32}
    monkeypatch.setattr(demo_module, "OPTIONS", {**demo_module.OPTIONS, **options})


def test_demo_leaves_a_report_and_says_what_is_next(small, tmp_path, monkeypatch):
    result = CliRunner().invoke(command, ["--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "out" / "report.html") in result.output
    assert "dermssl pretrain IMAGES" in result.output
    page = (tmp_path / "out" / "report.html").read_text()
    for heading in ("Nearest neighbours against", "Pretraining", "What the network was shown", "What it finds similar"):
        assert heading in page
    assert page.count("<img") > 7 * 3 + 7

    monkeypatch.setattr(Trainer, "train_epoch", lambda *_: pytest.fail("trained again"))
    again = CliRunner().invoke(command, ["--output", str(tmp_path / "out"), "--json"])
    assert again.exit_code == 0, again.output
    metrics = json.loads(again.stdout)["metrics"]
    first_line = result.stdout.splitlines()[0]
    assert f"{metrics['pretrained']['accuracy']:.1%}" in first_line


@pytest.mark.slow
def test_the_page_states_the_reports_own_figures(small, tmp_path):
    result = demo_module.demo(tmp_path / "out")
    page = result.report.read_text()
    for report in (result.pretrained, result.random):
        assert f"{100 * report.metrics['recall_macro']:.1f}" in page
    assert f"{result.pretrained.majority_accuracy:.1%}" in page
    assert f"{100 * result.difference.difference['recall_macro']:+.1f}" in page
    assert result.difference.difference["accuracy"] == pytest.approx(
        result.pretrained.metrics["accuracy"] - result.random.metrics["accuracy"]
    )
    lines = (result.run / "metrics.jsonl").read_text().splitlines()
    seconds = sum(json.loads(line)["seconds"] for line in lines)
    assert f"in {seconds:.0f} seconds" in page


def test_a_demo_stopped_while_drawing_goes_on(small, tmp_path, monkeypatch):
    def half(folder, **_):
        (folder / "HAM10000_images").mkdir(parents=True)
        (folder / "HAM10000_images" / "one.jpg").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(demo_module, "write_synthetic", half)
        with pytest.raises(KeyboardInterrupt):
            demo_module.demo(tmp_path / "out")
    images = demo_module._draw_images(tmp_path / "out")
    assert len(list((images / "HAM10000_images").iterdir())) == 60
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["images"]


def test_an_output_that_cannot_hold_it_is_named(small, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DermsslError, match=r"--output .*file: cannot be written"):
        demo_module.demo(tmp_path / "file")
    (tmp_path / "out" / "images").mkdir(parents=True)
    (tmp_path / "out" / "images" / "mine.jpg").touch()
    with pytest.raises(DermsslError, match="not empty"):
        demo_module.demo(tmp_path / "out")
