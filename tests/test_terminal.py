"""What is told where: terminals, pipes, files, streams that are full, closed or of few characters."""

import logging
import os
import subprocess
import sys

import pytest

from dermssl import progress, terminal
from dermssl.cli import logs
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.progress import progress_bar
from dermssl.terminal import on_one_line, visible

SAY = (
    "import click; from dermssl import cli; from dermssl.cli import main; from types import SimpleNamespace;"
    "callback = lambda: (click.echo({text!r}), open({file!r}, 'w').write('x'));"
    "command = click.Command('say', params=[], callback=callback);"
    "import sys; sys.modules['say'] = SimpleNamespace(command=command); cli.COMMANDS['say'] = 'say'; main()"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 你好, 😀", "plain, é, 你好, 😀"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J\x07x\r", "\\x1b[2J\\x07x\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("gnp\u202egpj", "gnp\\u202egpj"),
        ("bad\udcff", "bad\\udcff"),
    ],
)
def test_control_characters_are_spelled_out(text, shown):
    assert visible(text) == shown


def test_a_name_with_a_line_end_makes_no_second_message():
    assert on_one_line("a\nb\x1b\u2028c\x85") == "a\\nb\\x1b\\u2028c\\x85"


def run(shell: str, tmp_path, text="né\x07", env=()):
    code = SAY.format(text=text, file=str(tmp_path / "report"))
    return subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$CODE" say {shell}'],
        capture_output=True, text=True, env={**os.environ, "CODE": code, **dict(env)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shell", "status", "error"),
    [
        ("", 0, ""),
        (">/dev/full", 1, "standard output cannot be written: No space left on device"),
        (">&-", 1, "standard output cannot be written: "),
        ("2>/dev/full", 0, ""),
        ("2>&-", 0, ""),
        ("| true; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_files_are_written_whatever_the_streams_are(tmp_path, shell, status, error):
    done = run(shell, tmp_path)
    assert (tmp_path / "report").read_text() == "x"
    assert done.returncode == status, done.stderr
    assert error in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if not shell:
        assert done.stdout == "né\\x07\n"


def test_another_encoding_loses_no_line(tmp_path):
    done = run("", tmp_path, env={"PYTHONIOENCODING": "ascii"}.items())
    assert (done.returncode, done.stdout) == (0, "n\\xe9\\x07\n")


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(terminal, "_last_progress", float("-inf"))
    return now


def test_where_there_is_no_terminal_a_line_every_ten_seconds(clock, capsys):
    with progress_bar(100, "features", "images") as bar:
        for _ in range(100):
            clock[0] += 0.7
            bar.update(1, "loss 1.234")
    told = capsys.readouterr().err
    assert "\r" not in told
    lines = told.splitlines()
    assert len(lines) == 6
    assert lines[0] == "features: 15 of 100 images (15%), 1.43 images/s, 1:00 left, loss 1.234"


def test_a_line_an_epoch_is_no_flood_in_a_file(clock, capsys, monkeypatch):
    logger = logging.getLogger("dermssl")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    logs.log_to_terminal()
    for epoch in range(100):
        clock[0] += 1
        logger.info("epoch %d", epoch, extra={"progress": True})
        logger.warning("always") if epoch == 50 else None
    lines = capsys.readouterr().err.splitlines()
    shown = [f"epoch {n}" for n in range(0, 100, 10)]
    assert lines == [*shown[:6], "warning: always", *shown[6:]]


def test_quiet_shows_no_progress(clock, capsys):
    progress.be_quiet(True)
    try:
        with progress_bar(10, "features", "images") as bar:
            clock[0] += 100
            bar.update(5)
    finally:
        progress.be_quiet(False)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_and_a_dying_one_does_no_harm(capsys, monkeypatch):
    class Dying:
        encoding = "utf-8"

        def isatty(self):
            return True

        def write(self, text):
            raise OSError("the terminal is gone")

        def flush(self):
            raise OSError("the terminal is gone")

    monkeypatch.setattr(sys, "stderr", Dying())
    with progress_bar(10, "features", "images") as bar:
        for _ in range(10):
            bar.update()
    logging.getLogger("dermssl").warning("told to nobody")


def test_quiet_holds_while_a_run_writes_its_log(tmp_path, monkeypatch, capsys):
    logger = logging.getLogger("dermssl")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setattr(logs, "_level", logging.WARNING)
    logs.log_to_terminal()
    run = RunDirectory(tmp_path)
    with run.logged():
        logger.info("epoch 1")
        logger.warning("frozen")
    assert capsys.readouterr().err == "warning: frozen\n"
    assert "epoch 1" in run.log.read_text()


def test_in_a_pipe_the_hub_draws_no_bars():
    program = (
        "import sys\nfrom dermssl.cli import main\nsys.argv = ['dermssl', '--version']\ntry:\n    main()\n"
        "except SystemExit:\n    from huggingface_hub import constants as its\n"
        "    print(its.HF_HUB_DISABLE_PROGRESS_BARS)"
    )
    env = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "True", done.stderr
