"""Commands in processes forked after the imports: each starts in milliseconds, where python and torch take seconds."""

import contextlib
import importlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HANG = 75  # status of a command that did not end in its time
_ADVICE = re.compile(
    r"\b(copy|download|evaluate|give|name|use|delete|restore|remove|make|made|start over|export|prepare|correct|try|"
    r"check|write|run|save|lower|raise|needs?|must|expected|install|choose|pass|close|left out|looked for|one or more|"
    r"did you mean|are there)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Ended:
    """What became of a command: its status (minus the signal that ended it), its words, and how long it took."""

    status: int
    said: str
    seconds: float
    hung: bool = False

    @property
    def error(self) -> str:
        """The line that the command ended with, without its colour."""
        lines = re.sub(r"\x1b\[[0-9;]*m", "", self.said).strip().splitlines()
        return next((line for line in reversed(lines) if line.startswith(("Error:", "Usage:"))), "")

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.said

    @property
    def has_remedy(self) -> bool:
        """Whether the error says what to do, as far as words can tell."""
        return bool(_ADVICE.search(self.error.partition(":")[2]))


def import_everything() -> None:
    """What the commands import, once. Nothing is computed here: threads would not survive the fork."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    import timm  # noqa: F401
    import torch

    import dermssl
    from dermssl import cli

    torch.set_num_threads(1)
    for module in cli.COMMANDS.values():
        importlib.import_module(module)
    for name in dermssl.__all__:
        getattr(dermssl, name)


def start(*words: str | Path, log: Path, streams: Callable[[], None] = lambda: None, fresh: bool = False) -> int:
    """Fork a process that runs ``dermssl WORDS`` and leads a group of its own; returns its number.

    Args:
        words: of the command.
        log: file that it prints into.
        streams: called in the process, to give it other streams.
        fresh: begin with a new interpreter, as a person's command does.
    """
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.setsid()
        out = os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 99)  # the command may close 0, 1 and 2
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        streams()
        if fresh:
            os.execv(sys.executable, [sys.executable, "-m", "dermssl", *map(str, words)])
        sys.argv = ["dermssl", *map(str, words)]
        from dermssl.cli import main

        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        os.write(out, traceback.format_exc().encode(errors="replace"))
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(status)


def wait(child: int, seconds: float) -> int | None:
    """The status of a process once it has ended, None if it has not after ``seconds``."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.002)


def kill(child: int, *, group: bool = True) -> None:
    """SIGKILL, to the process alone as ``kill -9`` does, or to its group as a scheduler does."""
    try:
        (os.killpg if group else os.kill)(child, signal.SIGKILL)
    except ProcessLookupError:  # it leads no group yet
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def run(
    *words: str | Path, log: Path, limit: float = 120, streams: Callable[[], None] = lambda: None, fresh: bool = False
) -> Ended:
    """Run ``dermssl WORDS`` to its end, or kill it after ``limit`` seconds; the rest is as in `start`."""
    begun = time.monotonic()
    child = start(*words, log=log, streams=streams, fresh=fresh)
    status = wait(child, limit)
    if status is None:
        kill(child)
    said = log.read_bytes().decode(errors="replace")
    return Ended(HANG if status is None else status, said, time.monotonic() - begun, status is None)


def side_by_side(task: Callable[..., Any], numbers: Iterable[int], jobs: int, *fixed: Any) -> list[Any]:
    """``task(number, *fixed)`` for each number, in ``jobs`` processes forked from this one; the results in order."""
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs, _fix, (task, fixed)) as pool:
        return pool.map(_do, numbers, chunksize=1)


_fixed: tuple[Callable[..., Any], tuple[Any, ...]]


def _fix(task: Callable[..., Any], fixed: tuple[Any, ...]) -> None:
    global _fixed
    _fixed = task, fixed


def _do(number: int) -> Any:
    return _fixed[0](number, *_fixed[1])


def resident(child: int) -> int:
    """Bytes of memory that a process holds and shares with no file; 0 once it has ended."""
    try:
        pages = Path(f"/proc/{child}/statm").read_text().split()
    except OSError:
        return 0
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 2 else 0


def machine() -> str:
    """The processor, its cores and torch, for the table's head."""
    import torch

    try:
        words = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
        name = next((line.partition(":")[2].strip() for line in words.splitlines() if "Model name" in line), "CPU")
    except OSError:
        name = "CPU"
    return f"{os.cpu_count()} cores {name}, torch {torch.__version__}"
