"""Files made by earlier versions of dermssl are read by this one: tests/fixtures/version_0_1_0."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import dermssl
from dermssl.cli import group
from dermssl.data.cache import open_cache

EARLIER = Path(__file__).parent / "fixtures" / "version_0_1_0"


def test_a_stopped_run_goes_on_to_its_end(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(EARLIER / "stopped", run)
    options = json.loads((run / "config.json").read_text())["config"]
    given = {name: value for name, value in options.items() if value is not None}
    result = dermssl.pretrain(EARLIER / "images", run, **given)
    assert [line["epoch"] for line in result.history] == [1, 2, 3]
    assert result.history[-1]["step"] == 6
    # its first epochs were trained by the earlier version: as an unbroken run of that, to the last digits
    unbroken = dermssl.load_backbone(EARLIER / "exported").state_dict()
    for name, tensor in result.backbone.state_dict().items():
        torch.testing.assert_close(tensor, unbroken[name], rtol=1e-3, atol=1e-3)


def test_a_finished_run_whose_metrics_were_lost_is_still_finished(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(EARLIER / "stopped", run)
    words = ["pretrain", str(EARLIER / "images"), "--output", str(run), "--backbone", "test_efficientnet"]
    words += [
        "--image-size",
        "32",
        "--batch-size",
        "16",
        "--queue-size",
        "32",
        "--epochs",
        "3",
        "--device",
        "cpu",
        "--workers",
        "1",
    ]
    words += ["--precision", "fp32"]
    assert CliRunner().invoke(group, words, catch_exceptions=False).exit_code == 0
    (run / "metrics.jsonl").write_bytes(b"")
    again = CliRunner().invoke(group, words, catch_exceptions=False)
    assert again.exit_code == 0
    assert f"Pretrained backbone: {run / 'backbone'}" in again.output


def test_a_cache_is_opened():
    cache = open_cache(EARLIER / "cache")
    assert cache.images.shape == (40, 36, 36, 3)
    assert cache.records.groups is not None
    assert len(cache.records.classes) > 1


def test_an_export_is_loaded_and_evaluated():
    report = dermssl.evaluate_knn(EARLIER / "exported", EARLIER / "images", k=5, folds=2)
    earlier = json.loads((EARLIER / "knn.json").read_text())
    assert report.metrics["accuracy"] == pytest.approx(earlier["metrics"]["accuracy"], abs=0.1)
