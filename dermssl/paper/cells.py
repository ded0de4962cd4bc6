"""A cell, the smallest thing that is done or not done; and the files that say which are."""

import contextlib
import errno
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dermssl.documents import DamagedDocument, MissingDocument, fault_of, read_json, unreadable
from dermssl.errors import DermsslError
from dermssl.files import write_text
from dermssl.locks import Held, locked
from dermssl.privacy import handed_on
from dermssl.regular import read_regular

LOGGER = logging.getLogger("dermssl")

DONE, FAILED, UNAVAILABLE = "done", "failed", "not available"
AGAIN = "delete it, and the same command makes it again"
MOST_BYTES = 64 * 2**20  # of a figure or a report

OUTCOME = {
    "state": str, "message": str, "result": dict, "files": [str], "seconds": float, "finished": float, "hardware": str,
}  # fmt: skip
_FIGURE = (float, None)
_SHARES = {"purity": float, "chance": float, "plane_purity": float}
# kind -> what a report needs of its result
RESULTS: dict[str, Any] = {
    "difference": {"metrics": {str: {"difference": _FIGURE, "interval": [_FIGURE, _FIGURE]}}},
    "tsne": {"purity": _SHARES, "class_mean": _SHARES},
    "cam": {"images": [str]},
}


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
        path = self.folder / "cells" / f"{key}.json"
        try:
            values = read_json(path, "the outcome of a cell", OUTCOME, remedy=AGAIN)
        except DamagedDocument:
            return None  # damaged, written by hand or by another version: made again
        except MissingDocument:
            return None
        outcome = Outcome(**{**values, "files": tuple(values["files"])})
        if outcome.state == DONE:
            result = RESULTS.get(key.partition("/")[0])
            if result is not None and fault_of(outcome.result, result):
                return None
            if not all(self._is_ours(name) for name in outcome.files):
                return None
            self._done[key] = outcome
        return outcome

    def read(self, name: str) -> bytes:
        """The content of a file that a cell wrote.

        Raises:
            DermsslError: it is not a file of this folder, or cannot be read.
        """
        path = self.folder / name
        try:
            if self._is_ours(name):
                return read_regular(path, MOST_BYTES, follow=False)
            raise FileNotFoundError(errno.ENOENT, "it is not a file of this folder")
        except OSError as error:
            raise unreadable(path, error, AGAIN) from error

    def _is_ours(self, name: str) -> bool:
        """Whether a cell can have written this: inside the folder, no link on the way, and it is there."""
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or "\\" in name or ".." in parts:
            return False
        places = [self.folder.joinpath(*parts[: count + 1]) for count in range(len(parts))]
        try:
            return not any(place.is_symlink() for place in places) and places[-1].exists()
        except (OSError, ValueError):
            return False

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
        write_text(self.folder / "cells" / f"{key}.json", json.dumps(handed_on(asdict(outcome)), indent=1) + "\n")

    @contextlib.contextmanager
    def claimed(self, key: str) -> Iterator[bool]:
        """Hold a cell; yields False if another process holds it. A killed process holds nothing."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self._lock(key)))
            except Held:
                yield False
                return
            except OSError as error:
                raise self._unwritable(error) from error
            yield True

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold a part of the folder that is not a cell, waiting for it if need be."""

        def wait(other: Held) -> None:
            LOGGER.info("another process is working on the %s of %s (%s): waiting for it", name, self.folder, other)

        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self._lock(name), wait))
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def _lock(self, name: str) -> Path:
        path = self.folder / "locks" / f"{name.replace('/', '.')}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return path

    def _unwritable(self, error: OSError) -> DermsslError:
        return DermsslError(f"--output {self.folder}: cannot be written: {error.strerror}; name another one")
