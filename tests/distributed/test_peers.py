"""The peers on two processes do what they do on one, where BatchNorm does not depend on how the batch is divided."""

import json

import jobs
import numpy as np
import pytest
from ranks import on_ranks

# pirl draws all images as negatives: a draw of fewer is another one in each process
OPTIONS = {"moco": {"key_norm": "ema"}, "rotation": {}, "byol": {"key_norm": "ema"}, "pirl": {"queue_size": 40}}


@pytest.mark.parametrize("method", OPTIONS)
def test_two_processes_do_what_one_does(images, tiny, tmp_path, method):
    tiny |= {"method": method, **OPTIONS[method]}
    (alone,), (first, second) = (
        on_ranks(n, jobs.pretrain, tmp_path / f"group{n}", images, tmp_path / f"run{n}", "frozen", **tiny)
        for n in (1, 2)
    )
    for one in (alone, first, second):
        assert not one["failure"]
        assert one["state"].keys() == alone["state"].keys()
        for name, value in one["state"].items():
            np.testing.assert_allclose(value, alone["state"][name], err_msg=name, rtol=1e-4, atol=1e-5)
    last = [json.loads((tmp_path / f"run{n}" / "metrics.jsonl").read_text().splitlines()[-1]) for n in (1, 2)]
    assert last[1]["loss"] == pytest.approx(last[0]["loss"], rel=1e-5)
