"""The peers on two processes do what they do on one, where BatchNorm does not depend on how the batch is divided."""

import json

import jobs
import numpy as np
import pytest
from ranks import on_ranks

from dermssl.methods.registry import METHODS

# pirl draws all images as negatives: a draw of fewer is another one in each process
RUNS = {
    "moco": {"key_norm": "ema"},
    "rotation": {},
    "simclr": {},
    "byol": {"key_norm": "ema"},
    "pirl": {"queue_size": 40},
    "relative": {"method": "rotinstdisc", "rotation_task": "relative", "key_norm": "ema"},
    "crop": {"method": "rotinstdisc", "rotation_task": "crop", "key_norm": "ema"},
}


def assert_two_do_what_one_does(images, tmp_path, norm, options):
    (alone,), (first, second) = (
        on_ranks(n, jobs.pretrain, tmp_path / f"group{n}", images, tmp_path / f"run{n}", norm, **options)
        for n in (1, 2)
    )
    for one in (alone, first, second):
        assert not one["failure"]
        assert one["state"].keys() == alone["state"].keys()
        for name, value in one["state"].items():
            np.testing.assert_allclose(value, alone["state"][name], err_msg=name, rtol=1e-4, atol=1e-5)
    last = [json.loads((tmp_path / f"run{n}" / "metrics.jsonl").read_text().splitlines()[-1]) for n in (1, 2)]
    assert last[1]["loss"] == pytest.approx(last[0]["loss"], rel=1e-5)


def test_every_method_is_tried():
    assert set(METHODS) <= RUNS.keys() | {"rotinstdisc"}, "rotinstdisc: test_pretrain.py"
    assert all(method.spans_processes for method in METHODS.values())


@pytest.mark.parametrize(
    "name", [name if name == "moco" else pytest.param(name, marks=pytest.mark.slow) for name in RUNS]
)
def test_two_processes_do_what_one_does(images, tiny, tmp_path, name):
    assert_two_do_what_one_does(images, tmp_path, "frozen", {**tiny, "method": name, **RUNS[name]})


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_with_batchnorm_over_all_processes_too(images, tiny, tmp_path, method):
    """As --sync-bn does on GPUs: every statistic is that of the whole batch."""
    assert_two_do_what_one_does(images, tmp_path, "synchronised", {**tiny, "method": method})


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rotinstdisc", "byol"])
def test_shuffled_groups_are_the_same_on_one_process_and_on_two(images, tiny, tmp_path, method):
    """With BatchNorm as it is: groups of three of twelve images, in queries and keys. Two steps, for the statistics of
    three images make much of the last digits."""
    tiny |= {"method": method, "key_norm": "shuffle", "group": 3, "limit": 12, "lr": 1e-3}
    histories = []
    for ranks in (1, 2):
        run = tmp_path / f"run{ranks}"
        every = on_ranks(ranks, jobs.pretrain, tmp_path / f"group{ranks}", images, run, None, **tiny)
        assert not any(one["failure"] for one in every)
        histories.append([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()])
    for alone, shared in zip(*histories, strict=True):
        for name in METHODS[method].logs:
            assert shared[name] == pytest.approx(alone[name], rel=1e-5), name
