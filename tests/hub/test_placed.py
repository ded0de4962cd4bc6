"""Reports tell no folder: whose weights they are about is found by the hash of the file."""

import os
import shutil

import pytest
from hub_fixtures import write_report, write_run

from dermssl.evaluation.report import Report
from dermssl.files import sha256_of
from dermssl.hub.evaluations import Evaluations


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


def told(run, file, of, accuracy):
    """A report on weights, as this version writes it: the last part of the path, and the hash."""
    written = write_report(run / "evaluations" / file, str(of), accuracy)
    report = Report.load(written)
    values = {**vars(report), "weights": str(of), "weights_sha256": sha256_of(of / "backbone" / "model.safetensors")}
    Report(**values).save(written)
    assert f'"{of.name}"' in written.read_text()
    assert str(of) not in written.read_text()


def test_weights_are_told_apart_by_their_hash(original, tmp_path):
    mine, other = (
        shutil.copytree(original, tmp_path / "mine" / "run"),
        shutil.copytree(original, tmp_path / "x" / "run"),
    )
    beside = shutil.copytree(original, tmp_path / "mine" / "random")
    for number, run in enumerate((other, beside)):
        with (run / "backbone" / "model.safetensors").open("ab") as file:
            file.write(b"%d" % number)
    told(mine, "a.json", mine, 0.71)
    told(mine, "b.json", other, 0.72)
    told(mine, "c.json", beside, 0.73)
    found = Evaluations(mine)
    results = {result["metrics"]["accuracy"]: result for result in found.results}
    assert results[0.71]["own"]
    assert not results[0.72]["own"], "another run of the same name"
    assert not results[0.73]["own"]
    assert results[0.73]["weights"] == "random"
    assert list(found.peers) == ["random"], "found beside the run"
    moved = shutil.copytree(mine, tmp_path / "elsewhere" / "renamed")
    assert [result["own"] for result in Evaluations(moved).results] == [True, False, False]


def test_a_report_on_weights_that_were_trained_on_is_left_out(original, tmp_path, caplog):
    mine = shutil.copytree(original, tmp_path / "run")
    told(mine, "a.json", mine, 0.71)
    weights = mine / "backbone" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    made = weights.stat().st_mtime
    os.utime(mine / "evaluations" / "a.json", (made - 3600, made - 3600))
    assert Evaluations(mine).results == []
    assert "older than the weights" in caplog.text
