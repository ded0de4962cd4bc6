"""The command under torchrun: a process that is lost, a restart, a signal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jobs
import pytest
import torch
from ranks import on_ranks
from test_pretrain import assert_same_weights

pytestmark = pytest.mark.slow


def torchrun(*arguments: str | Path) -> subprocess.Popen:
    """torchrun with two processes on a free port."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        *map(str, arguments),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def options(tiny: dict) -> list[str]:
    return [text for name, value in tiny.items() for text in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="module")
def unbroken(images, tmp_path_factory):
    """The run of two processes of which none is lost."""
    folder = tmp_path_factory.mktemp("unbroken")

    def get(tiny: dict) -> Path:
        if not (folder / "run").exists():
            on_ranks(2, jobs.pretrain, folder / "group", images, folder / "run", **tiny)
        return folder / "run"

    return get


def test_a_lost_process_is_restarted_and_the_run_ends_as_if_nothing_had_been(images, tiny, tmp_path, unbroken):
    run = tmp_path / "run"
    (job,) = on_ranks(1, jobs.elastic, tmp_path / "group", [4], 1, images, run, **tiny)
    assert not job["failure"]
    assert "resuming at step 4 of 6" in (run / "log.txt").read_text()
    assert_same_weights(run, unbroken(tiny))


def test_a_lost_process_ends_the_job_and_the_same_call_goes_on(images, tiny, tmp_path, unbroken):
    run, started = tmp_path / "run", time.monotonic()
    (job,) = on_ranks(1, jobs.elastic, tmp_path / "a", [4], 0, images, run, **tiny)
    assert time.monotonic() - started < 30
    assert job["failure"]
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] == 4
    again = on_ranks(2, jobs.pretrain, tmp_path / "b", images, run, **tiny)
    assert not again[0]["failure"]
    assert_same_weights(run, unbroken(tiny))


def test_no_resume_does_not_start_over_after_a_restart(images, tiny, tmp_path):
    run = tmp_path / "run"
    (job,) = on_ranks(1, jobs.elastic, tmp_path / "group", [4], 1, images, run, resume=False, **tiny)
    assert not job["failure"]
    assert not list(tmp_path.glob("run.old-*"))


def test_sigterm_to_torchrun_ends_with_a_checkpoint_and_one_process_speaks(images, tiny, tmp_path):
    run = tmp_path / "run"
    job = torchrun("-m", "dermssl", "pretrain", images, "--output", run, *options({**tiny, "epochs": 100_000}))
    deadline = time.monotonic() + 100
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_text().count("\n"):
        assert job.poll() is None, job.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    job.send_signal(signal.SIGTERM)
    _, err = job.communicate(timeout=60)
    assert job.returncode != 0
    assert err.count("Error: stopped by SIGTERM after step") == 1, err
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] >= 3
    assert (run / "backbone" / "model.safetensors").exists()
