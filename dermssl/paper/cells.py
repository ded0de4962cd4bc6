"""A cell, the smallest thing that is done or not done; and the files that say which are."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dermssl.errors import DermsslError
from dermssl.files import write_text

DONE, FAILED, UNAVAILABLE = "done", "failed", "not available"


@dataclass(frozen=True)
class Cell:
    """One pretraining, evaluation, comparison or picture.

    Attributes:
        kind: which function of ``work.py`` makes it.
        subject: the row's weights: a name of ``numbers.ROWS``, or one of a sweep's runs.
        options: what else decides its content.
        needs: keys of the cells that must be done before.
        absent: why it cannot be made here at all; "" if it can.
        only_for_others: made only while a cell that needs it is not done.
    """

    kind: str
    subject: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    needs: tuple[str, ...] = ()
    absent: str = ""
    only_for_others: bool = False

    @property
    def key(self) -> str:
        """Its name, also of its files: no option that the output's settings fix is in it."""
        extra = "".join(f"-{value:g}" for name, value in self.options.items() if name == "fraction")
        return f"{self.kind}/{self.subject}{extra}"


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Attributes:
        state: ``DONE``, ``FAILED`` or ``UNAVAILABLE``.
        message: why, if not done.
        result: its figures.
        files: what it wrote, relative to the output folder; without them it is not done.
        seconds: that it took.
        finished: seconds since the epoch.
        hardware: on what it ran.
    """

    state: str
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    seconds: float = 0.0
    finished: float = 0.0
    hardware: str = ""


class Ledger:
    """The outcomes in an output folder: ``cells/KEY.json``, read and written by any number of processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = time.time()
        self._done: dict[str, Outcome] = {}

    def report(self, key: str) -> Path:
        """Where the report of an evaluation cell lies."""
        return self.folder / "reports" / f"{key}.json"

    def outcome(self, key: str) -> Outcome | None:
        """How the cell ended, at whatever start; None if it did not, or what it wrote is gone."""
        if key in self._done:
            return self._done[key]
        try:
            values = json.loads((self.folder / "cells" / f"{key}.json").read_text(encoding="utf-8"))
            outcome = Outcome(**{**values, "files": tuple(values["files"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            return None  # written by hand or by another version: made again
        if outcome.state == DONE:
            if not all((self.folder / name).exists() for name in outcome.files):
                return None
            self._done[key] = outcome
        return outcome

    def done(self, key: str) -> bool:
        """Whether the cell need not be made again."""
        outcome = self.outcome(key)
        return outcome is not None and outcome.state == DONE

    def settled(self, key: str) -> Outcome | None:
        """The outcome, unless it is a failure from before this start: those are tried again."""
        outcome = self.outcome(key)
        return outcome if outcome and (outcome.state == DONE or outcome.finished >= self.started) else None

    def write(self, key: str, outcome: Outcome) -> None:
        """Record an outcome, whole or not at all."""
        write_text(self.folder / "cells" / f"{key}.json", json.dumps(asdict(outcome), indent=1) + "\n")

    @contextlib.contextmanager
    def claimed(self, key: str) -> Iterator[bool]:
        """Hold a cell; yields False if another process holds it. A killed process holds nothing."""
        lock = self._lock(key)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold a part of the folder that is no cell, waiting for it if need be."""
        with self._lock(name):
            yield

    def _lock(self, name: str) -> FileLock:
        path = self.folder / "locks" / f"{name.replace('/', '.')}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise DermsslError(f"--output {self.folder}: cannot be written: {error.strerror}") from error
        return FileLock(path)
