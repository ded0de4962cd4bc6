"""The run directory: its files, what was decided, what was measured. Its names stand here alone."""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dermssl.backbones.load import BACKBONE_FOLDER, CHECKPOINT_FILE, CONFIG_FILE, WEIGHTS_FILE
from dermssl.documents import DamagedDocument, read_json, read_json_lines
from dermssl.errors import DermsslError
from dermssl.files import append_text, cannot_write, is_partial, refuse_way_out, write_text
from dermssl.locks import Held, locked
from dermssl.regular import open_own
from dermssl.terminal import on_one_line

LOGGER = logging.getLogger("dermssl")

# What ``config.json`` must hold; each part may be missing in a file of an earlier version.
CONFIG: dict[str, Any] = {
    "config?": dict,
    "resolved?": {"batch_size?": int, "lr?": float, "steps?": int},
    "data?": {
        "source?": (str, None),
        "layout?": (str, None),
        "content_hash?": (str, None),
        "images?": (int, None),
        "fit?": (str, None),
    },
    "before?": [dict],
    "versions?": dict,
    "hardware?": (str, None),
    "started?": (str, None),
}
LINE = {"epoch": int, "step": int}  # what a line of ``metrics.jsonl`` must hold; the rest are numbers
_HISTORY = "remove it, and the run continues without what it had measured so far"
START_OVER = "restore it from a copy, or start over with --no-resume (the old run is kept beside the new one)"


class RunDirectory:
    """Files of a run.

    Attributes:
        path: of the folder.
        config: ``config.json``, every decision: ``config`` (the options as given), ``resolved`` (what "default" and
            "auto" came to), ``data``, ``before`` (the runs it started from), ``versions``, ``hardware``, ``started``.
        metrics: ``metrics.jsonl``, a line for each epoch.
        checkpoint: ``checkpoint.pt``, to go on from.
        previous: ``checkpoint.previous.pt``, the one before.
        backbone: ``backbone/``, the exported files.
        weights: ``backbone/model.safetensors``.
        evaluations: ``evaluations/``, reports and figures that were made of the backbone.
        log: ``log.txt``.
        lock: ``.lock``, held by the process that writes the run.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path if path.name else path.resolve()  # "." has no name to rename it by
        self.config = self.path / CONFIG_FILE
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / CHECKPOINT_FILE
        self.previous = self.path / "checkpoint.previous.pt"
        self.backbone = self.path / BACKBONE_FOLDER
        self.weights = self.backbone / WEIGHTS_FILE
        self.evaluations = self.path / "evaluations"
        self.log = self.path / "log.txt"
        self.lock = self.path / ".lock"

    @classmethod
    def of(cls, weights: str | Path) -> "RunDirectory":
        """The run directory that a path to it, to its backbone or to a file of that belongs to."""
        path = Path(weights)
        folder = path.parent if path.name == WEIGHTS_FILE else path
        return cls(folder.parent if folder.name == BACKBONE_FOLDER else folder)

    def exists(self) -> bool:
        """Whether a run got as far as a checkpoint here; one that did not has nothing to lose."""
        return self.checkpoint.exists() or self.previous.exists()

    def create(self) -> None:
        """Make the folder, empty of runs.

        Raises:
            DermsslError: it cannot be written, or holds files that are not a run's.
        """
        own = {file.name for file in (self.config, self.metrics, self.backbone, self.log, self.lock)}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = [p.name for p in self.path.iterdir() if p.name not in own and not is_partial(p)]
        except OSError as error:
            raise DermsslError(
                f"--output {self.path}: cannot be written: {error.strerror}; name an empty or new folder"
            ) from error
        if foreign:
            raise DermsslError(
                f"--output {self.path}: holds files that are not a run's ({', '.join(sorted(foreign)[:3])}); "
                "name an empty or new folder"
            )

    def refuse_links(self) -> None:
        """Refuse a run whose files are links: what is written here must not end up elsewhere.

        Raises:
            DermsslError: one of them is a link.
        """
        files = (self.config, self.metrics, self.checkpoint, self.previous, self.backbone, self.log, self.lock)
        for file in (*files, self.weights, self.backbone / CONFIG_FILE):
            if file.is_symlink():
                raise DermsslError(
                    f"--output {self.path}: {file.name} is a link, where a regular file is expected; remove it"
                )

    def move_aside(self) -> Path:
        """Rename the folder to the first free ``NAME.old-N``: nothing is deleted.

        Raises:
            DermsslError: another process is writing the run, and would go on in the folder that takes its place.
        """
        n = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{n}")).exists():
            n += 1
        with self.locked():
            try:
                self.path.rename(aside)
            except OSError as error:
                raise DermsslError(f"--output {self.path}: cannot be renamed to {aside}: {error.strerror}") from error
        return aside

    def backbone_step(self) -> int | None:
        """The step that ``backbone/`` is of, which a stopped run writes too; None where it does not say."""
        try:
            schema = {"dermssl": {"step": int}}
            config = read_json(self.backbone / CONFIG_FILE, "the configuration of a backbone", schema, remedy="")
        except DermsslError:
            return None
        return config["dermssl"]["step"]

    def read_config(self) -> dict[str, Any]:
        """The content of ``config.json``; see ``CONFIG``.

        Raises:
            DermsslError: it is missing or damaged, or a link that leads out of the run.
        """
        refuse_way_out(self.config, self.path)
        return read_json(self.config, "the configuration of a run", CONFIG, remedy=START_OVER)

    def write_config(self, config: dict[str, Any]) -> None:
        """Write ``config.json``."""
        write_text(self.config, json.dumps(config, indent=2) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``, one for each epoch; a damaged one is reported and left out."""
        if not self.metrics.exists():
            return []
        refuse_way_out(self.metrics, self.path)
        lines = read_json_lines(self.metrics, "the metrics of an epoch", LINE, remedy=_HISTORY)
        for line in lines:
            if isinstance(line, DamagedDocument):
                LOGGER.warning("%s", line)
        return [line for line in lines if isinstance(line, dict)]

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one line to ``metrics.jsonl``."""
        append_text(self.metrics, json.dumps(line) + "\n")

    def forget_after(self, epoch: int) -> None:
        """Drop the metrics of epochs after ``epoch``: they will be made again."""
        kept = [line for line in self.history() if line["epoch"] <= epoch]
        write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            DermsslError: another process is writing this run.
        """
        try:
            with contextlib.ExitStack() as held:
                held.enter_context(locked(self.lock))
                body = held.pop_all()
        except Held as error:
            raise DermsslError(
                f"--output {self.path}: another process is writing this run ({error}); wait for it, or stop it"
            ) from error
        except OSError as error:
            raise cannot_write(self.lock, error) from error
        with body:
            yield

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        """Copy the log of this package into ``log.txt``; where that cannot be written the run goes on, and says so."""
        try:
            handler = _Log(os.fdopen(open_own(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w", encoding="utf-8"))
        except OSError as error:
            raise cannot_write(self.log, error) from error
        handler.setFormatter(_Line("%(asctime)s %(levelname)s %(message)s"))
        level = LOGGER.level
        LOGGER.setLevel(min(level or logging.INFO, logging.INFO))
        LOGGER.addHandler(handler)
        try:
            yield
        finally:
            LOGGER.removeHandler(handler)
            LOGGER.setLevel(level)
            handler.close()
            with contextlib.suppress(OSError):
                handler.stream.close()


class _Line(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return on_one_line(super().formatMessage(record))


class _Log(logging.StreamHandler):
    """A file that may become full: a line that cannot be written is lost, not the run."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say the first failure, to the other handlers; never raise."""
        if not self.failed:
            self.failed = True
            LOGGER.warning("log.txt cannot be written (%s); the run continues", sys.exception())
