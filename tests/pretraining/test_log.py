"""The log of a run: what cannot be written costs a line, never the run."""

import os

import dermssl
from dermssl.pretraining import run_directory
from dermssl.pretraining.checkpoint import load_checkpoint


def test_a_full_disk_under_the_log_costs_no_run(images, tiny, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(run_directory, "open_own", lambda *_: os.open("/dev/full", os.O_WRONLY))
    result = dermssl.pretrain(images, tmp_path / "run", **{**tiny, "epochs": 1})
    assert len(result.history) == 1
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 3
    said = [record.getMessage() for record in caplog.records if "log.txt" in record.getMessage()]
    assert said == ["log.txt cannot be written ([Errno 28] No space left on device); the run continues"]
