"""A run shared by two or three processes: the same as in one, one that writes, and all that end together."""

import json
import time
from pathlib import Path

import jobs
import numpy as np
import pytest
import torch
from ranks import on_ranks

pytestmark = pytest.mark.slow  # several processes

# float32 sums in another order, over six updates; measured: below 1e-6 (with BatchNorm as it is: 0.3)
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
# what BatchNorm does, and in the key encoder: statistics that do not depend on how the batch is divided
INDEPENDENT = [("frozen", "ema"), ("synchronised", "batch")]


def history(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_close(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], err_msg=name, **TOLERANCE)


def assert_same_weights(a: Path, b: Path) -> None:
    left, right = (torch.load(run / "checkpoint.pt", weights_only=True) for run in (a, b))
    assert left["step"] == right["step"]
    assert all(torch.equal(left["state_dict"][name], right["state_dict"][name]) for name in left["state_dict"])
    assert torch.equal(left["task_state"]["queue"]["keys"], right["task_state"]["queue"]["keys"])


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """The run of one process, by norm and key norm; made once."""
    made = {}

    def get(norm: str, key_norm: str, tiny: dict) -> tuple[Path, dict]:
        if norm not in made:
            folder = tmp_path_factory.mktemp("alone")
            (result,) = on_ranks(
                1, jobs.pretrain, folder / "group", images, folder / "run", norm, key_norm=key_norm, **tiny
            )
            assert not result["failure"]
            made[norm] = folder / "run", result["state"]
        return made[norm]

    return get


@pytest.mark.parametrize(("norm", "key_norm"), INDEPENDENT)
@pytest.mark.parametrize("ranks", [2, 3])
def test_several_processes_do_what_one_does(images, tiny, tmp_path, alone, ranks, norm, key_norm):
    run, state = alone(norm, key_norm, tiny)
    every = on_ranks(
        ranks, jobs.pretrain, tmp_path / "group", images, tmp_path / "run", norm, key_norm=key_norm, **tiny
    )
    for one in every:
        assert not one["failure"]
        assert_close(one["state"], state)
    for ours, theirs in zip(history(tmp_path / "run"), history(run), strict=True):
        assert ours["step"] == theirs["step"]
        assert ours["lr"] == theirs["lr"]
        for name in ("loss", "loss_instance", "loss_rotation", "rotation_accuracy"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5)
    resolved = json.loads((tmp_path / "run" / "config.json").read_text())["resolved"]
    assert (resolved["batch_size"], resolved["processes"]) == (12, ranks)


def test_every_process_ends_in_the_same_state_and_the_main_one_writes(images, tiny, tmp_path):
    """With BatchNorm as it is: statistics of each process's own batch, averaged after the step."""
    ours = on_ranks(2, jobs.pretrain, tmp_path / "group", images, tmp_path / "run", eval_data=str(images), **tiny)
    first, second = (one["state"] for one in ours)
    own = {name for name in first if name.startswith("key_encoder") and "running" in name}  # replaced before each use
    assert all(np.array_equal(first[name], second[name]) for name in first.keys() - own)
    assert {Path(path).name for path in ours[0]["written"]} >= {"metrics.jsonl", "log.txt", ".lock"}
    assert ours[1]["written"] == []
    assert "knn_accuracy" in history(tmp_path / "run")[-1]
    assert (tmp_path / "run" / "backbone" / "model.safetensors").exists()


def test_a_signal_to_one_process_stops_all_at_the_same_step_and_the_run_goes_on(images, tiny, tmp_path):
    unbroken = on_ranks(2, jobs.pretrain, tmp_path / "a", images, tmp_path / "unbroken", **tiny)
    assert not unbroken[0]["failure"]
    first, second = on_ranks(2, jobs.pretrain, tmp_path / "b", images, tmp_path / "broken", stop_after=4, **tiny)
    stopped = "stopped by a signal to another process after step 4 of 6; a checkpoint was written"
    assert first["failure"].startswith(f"Interrupted: {stopped}")
    assert second["failure"].startswith(f"SaidElsewhere: process 0 of this job failed: {stopped}")
    again = on_ranks(2, jobs.pretrain, tmp_path / "c", images, tmp_path / "broken", **tiny)
    assert not again[0]["failure"]
    assert_same_weights(tmp_path / "unbroken", tmp_path / "broken")
    for ours, theirs in zip(history(tmp_path / "broken"), history(tmp_path / "unbroken"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-12)


def test_a_run_goes_on_with_another_number_of_processes(images, tiny, tmp_path, alone):
    _, state = alone("frozen", "ema", tiny)
    tiny["key_norm"] = "ema"
    run = tmp_path / "run"
    stopped = on_ranks(3, jobs.pretrain, tmp_path / "a", images, run, "frozen", stop_after=2, **tiny)
    assert "after step 2 of 6" in stopped[0]["failure"]
    stopped = on_ranks(2, jobs.pretrain, tmp_path / "b", images, run, "frozen", stop_after=4, **tiny)
    assert "after step 4 of 6" in stopped[0]["failure"]
    (one,) = on_ranks(1, jobs.pretrain, tmp_path / "c", images, run, "frozen", **tiny)
    assert not one["failure"]
    assert_close(one["state"], state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 13}, "--batch-size 13 is the batch of all 2 processes together and cannot be divided evenly"),
        ({"method": "simclr", "alone": True}, "--method simclr cannot be trained by several processes yet"),
        ({"sync_bn": True}, "--sync-bn: torch synchronises BatchNorm between GPUs only"),
        ({"epochs": 0}, "--epochs 0: must be 1 or more"),
        ({"opt": "sdg"}, "--opt sdg"),
    ],
)
def test_what_does_not_fit_ends_all_and_one_says_it(images, tiny, tmp_path, options, message):
    first, second = on_ranks(2, jobs.pretrain, tmp_path / "group", images, tmp_path / "run", **{**tiny, **options})
    assert first["failure"].startswith(f"DermsslError: {message}")
    assert second["failure"].startswith(f"SaidElsewhere: process 0 of this job failed: {message}")


def test_an_error_of_the_main_process_ends_the_others(images, tiny, tmp_path):
    first, second = on_ranks(2, jobs.pretrain, tmp_path / "group", images, tmp_path / "run", fail_after=1, **tiny)
    assert first["failure"] == "DermsslError: cannot write metrics.jsonl: No space left on device"
    assert second["failure"] == "SaidElsewhere: process 0 of this job failed: cannot write metrics.jsonl: " + (
        "No space left on device"
    )


def test_a_lost_process_ends_the_others_at_once(images, tiny, tmp_path):
    started = time.monotonic()
    every = on_ranks(3, jobs.pretrain, tmp_path / "group", images, tmp_path / "run", kill_at=4, **tiny)
    assert time.monotonic() - started < 30
    assert every[2] is None
    for rank in (0, 1):
        assert every[rank]["failure"].startswith(f"DermsslError: process {rank}: another process of this job has ended")
