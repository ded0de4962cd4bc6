"""`reproduce` as a whole on a few drawn images: everything, a failure, a kill, two processes, wrong input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import dermssl
from dermssl import DermsslError, Report
from dermssl.cli.reproduce import command
from dermssl.data.synthetic import write_synthetic
from dermssl.distributed import is_main, process_group, world_size
from dermssl.methods.registry import METHODS
from dermssl.paper import numbers, work
from dermssl.paper.budget import refuse_foreign
from dermssl.paper.numbers import ROWS
from dermssl.paper.run import _alone
from dermssl.pretraining.loop import Interrupted
from dermssl.pretraining.trainer import Trainer


def command_line(images, output, tiny, *more) -> list[str]:
    options = [part for name, value in tiny.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    data = ["--pretrain-data", str(images), "--eval-data", str(images), "--output", str(output)]
    return [*data, *options, *more]


@pytest.mark.slow
def test_every_method_table_and_figure(images, tiny, offline, tmp_path, monkeypatch):
    monkeypatch.setattr(numbers, "FRACTIONS", (0.1,))
    monkeypatch.setattr(numbers, "LAMBDAS", {weight: numbers.LAMBDAS[weight] for weight in (0.0, 0.1, 10.0)})
    output = tmp_path / "out"
    data = {"pretrain_data": images, "eval_data": images, "output": output}
    report = dermssl.reproduce(**data, **tiny)
    assert report.failed == (), report.cells
    shown = {(v.table, v.title, v.subject) for v in report.values if v.ours is not None and v.metric == "accuracy"}
    trained = {name for name in ROWS if name in METHODS}
    for number, title in ((1, "KNN"), (2, "fine-tuned"), (2, "frozen")):
        assert {s for n, t, s in shown if (n, t) == (number, title)} == trained | {"random"}
    assert {s for n, _, s in shown if n == 3} == {"rotation", "rotinstdisc-lambda-0", "rotinstdisc"} & {
        *trained, "rotinstdisc-lambda-0"
    }  # fmt: skip
    assert {s for n, _, s in shown if n == 4} == {"rotinstdisc-lambda-0", "rotinstdisc", "rotinstdisc-lambda-10"}
    assert not {s for n, _, s in shown if n == 5}  # 70 images, and no queue of the paper fills in one epoch of them
    notes = {(v.table, v.subject): v.note for v in report.values}
    assert notes[1, "imagenet"].startswith("not available: weights timm:test_resnet: cannot be downloaded")
    assert "a queue of 128 is never full, as a run makes 64 keys" in notes[5, "rotinstdisc-queue-128"]

    html = (output / "report.html").read_text()
    for said in ("Table 5", "Figure 4", "Figure 5", "Figure 6", "84.28", "never full, as a run makes 64 keys"):
        assert said in html
    assert html.count("data:image/svg") == len(trained) + 1 + 2
    assert html.count("data:image/png") == 6 * (
        1 + len({"random", "rotation", "rotinstdisc"} & {"random", *trained}) + 1
    )
    stored = Report.load(output / "reports" / "knn" / "random.json")
    first = next(v for v in report.values if v.subject == "random")
    assert first.ours.value == pytest.approx(100 * stored.metrics["accuracy"])
    assert len(stored.predictions) == 71  # the rounding of each class
    gains = [v.gain for v in report.values if v.table == 2 and v.subject == "rotinstdisc"]
    assert all(gain is not None for gain in gains)

    monkeypatch.setattr(Trainer, "train_epoch", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(work, "finetune", lambda *_, **__: pytest.fail("evaluated again"))
    monkeypatch.setattr(work, "evaluate_knn", lambda *_, **__: pytest.fail("evaluated again"))
    again = dermssl.reproduce(**data, **tiny)
    assert again.values == report.values


def test_a_failing_cell_is_told_and_tried_again(images, tiny, tmp_path, monkeypatch):
    arguments = command_line(images, tmp_path / "out", tiny, "--tables", "1", "--methods", "random,rotinstdisc")
    evaluate = work.evaluate_knn

    def broken(weights, *arguments, **options):
        if weights.startswith("random:"):
            raise ZeroDivisionError("too small")
        return evaluate(weights, *arguments, **options)

    with monkeypatch.context() as context:
        context.setattr(work, "evaluate_knn", broken)
        result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert "Error: 1 cells failed: knn/random" in result.stderr
    assert "failed: ZeroDivisionError: too small" in result.stdout
    assert "ZeroDivisionError" in (tmp_path / "out" / "errors" / "knn" / "random.txt").read_text()
    rows = {line.split("|")[1].strip(): line for line in result.stdout.splitlines() if line.startswith("| ")}
    assert "failed" in rows["random"]
    assert (tmp_path / "out" / "reports" / "knn" / "rotinstdisc.json").exists()  # the rest went on

    monkeypatch.setattr(Trainer, "train_epoch", lambda *_: pytest.fail("trained again"))
    result = CliRunner().invoke(command, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["failed"] == []
    assert all(value["ours"] is not None for value in values["values"])


@pytest.fixture
def started():
    """Starts the command in a process of its own, which ends with the test at the latest."""
    processes = []

    def start(output: Path, arguments: list[str]) -> subprocess.Popen:
        code = "from dermssl.cli import main; main()"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with open(output.with_suffix(".log"), "w") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", code, "reproduce", *arguments], stdout=log, stderr=log, env=environment
                )
            )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_for(condition, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def made(text: str) -> list[str]:
    """The cells that a log tells of."""
    return [line.split("] ")[1].split(":")[0] for line in text.splitlines() if line.startswith("[")]


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_and_two_processes_share(images, tiny, tmp_path, caplog, started):
    caplog.set_level("INFO", "dermssl")
    output, log = tmp_path / "out", tmp_path / "out.log"
    arguments = command_line(images, output, tiny, "--tables", "1,4", "--methods", "random,rotinstdisc")
    run = output / "runs" / "rotinstdisc" / "config.json"

    process = started(output, arguments)
    wait_for(run.exists, process, log)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.read_bytes() for path in (output / "cells").rglob("*.json")}
    assert output / "cells" / "knn" / "random.json" in before
    assert not (output / "report.html").exists()

    second = started(output, arguments)
    wait_for(lambda: made(log.read_text()), second, log)  # at work, a second after it was started
    report = dermssl.reproduce(
        pretrain_data=images, eval_data=images, output=output, tables=[1, 4], methods=["random", "rotinstdisc"], **tiny
    )
    assert second.wait(600) == 0, log.read_text()
    assert report.failed == ()
    assert all(path.read_bytes() == content for path, content in before.items())
    here, there = made(caplog.text.replace("INFO     dermssl", "\n").replace(" [", "\n[")), made(log.read_text())
    needed = {key for key, cell in report.cells.items() if cell["state"] == "done"}
    assert sorted(here + there) == sorted(needed - {f"{p.parent.name}/{p.stem}" for p in before})
    assert here


def test_other_settings_images_and_folders_are_refused(images, tiny, tmp_path):
    data = {"pretrain_data": images, "eval_data": images, "methods": ["random"], "tables": [1]}
    dermssl.reproduce(**data, output=tmp_path / "out", **tiny)
    with pytest.raises(DermsslError, match=r"made with other settings: --epochs 1 \(now 2\), --k not given \(now 5\)"):
        dermssl.reproduce(**data, output=tmp_path / "out", **{**tiny, "epochs": 2, "k": 5})
    other = write_synthetic(tmp_path / "other", images=40, size=36)
    with pytest.raises(DermsslError, match=r"--eval-data: --output .* was made with other images"):
        dermssl.reproduce(**{**data, "eval_data": other}, output=tmp_path / "out", **tiny)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".settings.json.1.part").touch()  # of a process killed while it wrote its first file
    dermssl.reproduce(**data, output=tmp_path / "mine", **tiny)
    (tmp_path / "mine" / "settings.json").unlink()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(DermsslError, match="holds files, but no settings"):
        dermssl.reproduce(**data, output=tmp_path / "mine", **tiny)
    (tmp_path / "file").touch()
    with pytest.raises(DermsslError, match="file"):
        dermssl.reproduce(**data, output=tmp_path / "file", **tiny)
    with pytest.raises(DermsslError, match="reproduce has no option 'epoch'; did you mean epochs"):
        dermssl.reproduce(**data, output=tmp_path / "new", epoch=3)


def test_a_folder_that_is_refused_is_left_as_it_was(images, tiny, tmp_path):
    data = {"pretrain_data": images, "eval_data": images, "methods": ["random"], "tables": [1]}
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(DermsslError, match="holds files, but no settings"):
        dermssl.reproduce(**data, output=tmp_path, **tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    for output in (tmp_path / "thesis.txt", tmp_path / "thesis.txt" / "x"):
        with pytest.raises(DermsslError, match=r"--output .*thesis\.txt"):
            dermssl.reproduce(**data, output=output, **tiny)


def test_settings_that_another_process_writes_meanwhile_are_no_foreign_files(tmp_path, monkeypatch):
    """It has all its files by the time that this one, which found no settings, would look for others."""
    read = Path.read_text

    def late(path, *arguments, **options):
        monkeypatch.setattr(Path, "read_text", read)
        for name in ("settings.json", "report.md"):
            (tmp_path / name).touch()
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", late)
    refuse_foreign(tmp_path)


def test_rows_that_are_in_no_table_asked_for_are_refused_before_the_work(images, tiny, tmp_path):
    arguments = command_line(images, tmp_path / "out", tiny, "--methods", "moco", "--tables", "4")
    result = CliRunner().invoke(command, arguments)
    assert str(result.exception) == ("--methods moco: none of them is in what is asked for; Table 4 needs rotinstdisc")
    assert not (tmp_path / "out").exists()


def test_a_stop_by_signal_is_no_failure(images, tiny, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise Interrupted("stopped by SIGTERM")

    monkeypatch.setattr(work, "pretrain", stopped)
    data = {"pretrain_data": images, "eval_data": images, "output": tmp_path / "out"}
    with pytest.raises(Interrupted):
        dermssl.reproduce(**data, methods=["random", "rotinstdisc"], tables=[1], **tiny)
    assert not (tmp_path / "out" / "cells" / "pretrain").exists()


def test_ranks_of_torchrun_stay_apart(monkeypatch):
    """What pretrain looks at to join a group is hidden from it, and there again afterwards."""
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("TORCHELASTIC_RUN_ID", "x")):
        monkeypatch.setenv(name, value)
    assert not is_main()
    with _alone():
        assert is_main()
        with process_group():
            assert world_size() == 1
    assert os.environ["RANK"] == "1"
    assert not is_main()
