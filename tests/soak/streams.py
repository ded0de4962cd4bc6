"""Standard output and error that are full, closed, or a terminal that is gone: what was to be written is written."""

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.soak import commands
from tests.soak.scenes import SCENES, Scene, content, leftovers


def _full(*numbers: int) -> Callable[[], None]:
    def change() -> None:
        for number in numbers:
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)

    return change


def _closed() -> None:
    for number in (0, 1, 2):
        os.close(number)
    sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]  # as the interpreter has them after 2>&-


def _no_terminal() -> None:
    """Under nohup, on a terminal that is closed: each write is an I/O error."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    master, slave = os.openpty()
    os.close(master)
    for number in (0, 1, 2):
        os.dup2(slave, number)


STREAMS: dict[str, tuple[Callable[[], None], int]] = {
    "output full": (_full(1), 1),
    "error full": (_full(2), 0),
    "both full": (_full(1, 2), 1),
    "all closed": (_closed, 1),
    "terminal gone": (_no_terminal, 1),
}


def spoil_streams(given: Path, folder: Path, goes_on: Callable[[], bool]) -> dict[str, Any]:
    """Run each scene with streams that cannot be written: its files must be those of an undisturbed run.

    Returns:
        ``tried`` and the faults.
    """
    tried, faults, log = 0, [], folder / "log.txt"
    for scene in SCENES:
        whole, own = folder / "whole", folder / "own"
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        commands.run(*scene.words(given, whole), log=log)
        expected = content(whole / scene.makes, scene.exact)
        for name, (change, expected_status) in STREAMS.items():
            if not goes_on():
                break
            shutil.rmtree(own, ignore_errors=True)
            own.mkdir()
            ended = commands.run(*scene.words(given, own), log=log, streams=change)
            texts = [] if ended.status == expected_status else [f"status {ended.status} instead of {expected_status}"]
            if content(own / scene.makes, scene.exact) != expected:
                texts.append("other files than undisturbed")
            tried += 1
            faults += [{"command": scene.name, "streams": name, "what": text, "said": ended.said} for text in texts]
    faults += [{"command": "pretrain", "streams": "hung up", "what": text} for text in hang_up(given, folder)]
    return {"tried": tried + 1, "faults": faults}


def hang_up(given: Path, folder: Path) -> list[str]:
    """Close the terminal of a pretraining: it ends as SIGTERM ends it, and the same command goes on."""
    scene = next(scene for scene in SCENES if scene.name == "pretrain")
    own, log, (master, slave) = folder / "hung up", folder / "log.txt", os.openpty()
    own.mkdir()

    def take_terminal() -> None:
        os.close(master)
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in (0, 1, 2):
            os.dup2(slave, number)

    child = commands.start(*scene.words(given, own), log=log, streams=take_terminal)
    os.close(slave)
    run, status = own / scene.makes, None
    while status is None and not (run / "checkpoint.pt").exists():
        status = commands.wait(child, 0.001)
    os.close(master)
    status = commands.wait(child, 60) if status is None else status
    texts = [] if status == 128 + signal.SIGHUP else [f"status {status} instead of {128 + signal.SIGHUP}"]
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        commands.kill(child)
    texts += _goes_on(scene, given, own, folder)
    return texts


def _goes_on(scene: Scene, given: Path, own: Path, folder: Path) -> list[str]:
    whole = folder / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    for place in (whole, own):
        ended = commands.run(*scene.words(given, place), log=folder / "log.txt")
        if ended.status:
            return [f"does not go on: {ended.error}"]
    same = content(whole / scene.makes, scene.exact) == content(own / scene.makes, scene.exact)
    return ([] if same else ["another result than undisturbed"]) + leftovers(own)
