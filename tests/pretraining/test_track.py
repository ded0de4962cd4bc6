"""--track: every epoch's numbers reach the tracker, also of a run that goes on; a tracker costs no run."""

import json
import sys
from types import SimpleNamespace

import pytest

import dermssl
from dermssl.errors import DermsslError
from dermssl.pretraining.track import FOLDER

pytestmark = pytest.mark.slow  # trainings with each tracker


def history(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


class FakeRun:
    def __init__(self, **started):
        self.started, self.logged, self.finished = started, [], False

    def log(self, metrics, step):
        self.logged.append((step, metrics))

    def finish(self):
        self.finished = True


def fake(name, monkeypatch, runs):
    def init(**started):
        runs.append(FakeRun(**started))
        return runs[-1]

    module = SimpleNamespace(
        init=init,
        log=lambda metrics, step: runs[-1].log(metrics, step),
        finish=lambda: runs[-1].finish(),
    )
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_every_epoch_is_logged_and_a_run_goes_on_under_its_name(images, tiny, tmp_path, monkeypatch, name):
    runs = []
    fake(name, monkeypatch, runs)
    run = tmp_path / "run"
    options = {**tiny, "track": name, "eval_data": str(images)}
    result = dermssl.pretrain(images, run, **options)
    [first] = runs
    assert first.finished
    assert first.logged == [(line["step"], line) for line in history(run)]
    assert first.logged[-1][1]["loss"] == result.history[-1]["loss"]
    assert first.started["project"] == "dermssl"
    assert first.started["resume"] == "allow"
    assert first.started["config"]["epochs"] == tiny["epochs"]
    assert str(tmp_path) not in json.dumps(first.started["config"])


def test_tensorboard_gets_the_scalars(images, tiny, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    dermssl.pretrain(images, run, **tiny, track="tensorboard")
    events = EventAccumulator(str(run / FOLDER)).Reload()
    told = [(event.step, pytest.approx(event.value, rel=1e-5)) for event in events.Scalars("loss")]
    assert told == [(line["step"], line["loss"]) for line in history(run)]
    # another call finds the run complete, also without the tracker
    assert dermssl.pretrain(images, run, **tiny).history == history(run)


def test_a_tracker_that_is_not_there_or_does_not_start_is_one_error(images, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(DermsslError, match=r"--track wandb: not installed .*pip install 'dermssl\[track\]'"):
        dermssl.pretrain(images, tmp_path / "a", **tiny, track="wandb")

    def init(**_):
        raise RuntimeError("no API key configured")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with pytest.raises(DermsslError, match="--track wandb: cannot be started: no API key configured"):
        dermssl.pretrain(images, tmp_path / "b", **tiny, track="wandb")
    with pytest.raises(DermsslError, match="--track mlflow: unknown; use one of tensorboard, wandb, trackio"):
        dermssl.pretrain(images, tmp_path / "c", **tiny, track="mlflow")


def test_a_tracker_that_fails_costs_no_run(images, tiny, tmp_path, monkeypatch, caplog):
    runs = []
    fake("wandb", monkeypatch, runs)
    monkeypatch.setattr(FakeRun, "log", lambda *_, **__: (_ for _ in ()).throw(OSError("the network is gone")))
    monkeypatch.setattr(FakeRun, "finish", lambda *_: (_ for _ in ()).throw(OSError("the network is gone")))
    result = dermssl.pretrain(images, tmp_path / "run", **tiny, track="wandb")
    assert len(result.history) == tiny["epochs"]
    assert caplog.text.count("--track wandb failed and is left out from now on: the network is gone") == 1
