"""The run directory: what was decided, what was measured, what is needed to go on."""

import contextlib
import fcntl
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dermssl.errors import DermsslError
from dermssl.files import is_partial, write_text

LOGGER = logging.getLogger("dermssl")


class RunDirectory:
    """Files of a run: ``config.json``, ``metrics.jsonl``, ``checkpoint.pt``, ``backbone/``, ``log.txt``."""

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path if path.name else path.resolve()  # "." has no name to rename it by
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint.pt"
        self.backbone = self.path / "backbone"
        self.log = self.path / "log.txt"

    def exists(self) -> bool:
        """Whether a run got as far as a checkpoint here; one that did not has nothing to lose."""
        return self.checkpoint.exists()

    def create(self) -> None:
        """Make the folder, empty of runs.

        Raises:
            DermsslError: it cannot be written, or holds files that are not a run's.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            own = {"config.json", "metrics.jsonl", "backbone", "log.txt", ".lock"}  # of a run without a checkpoint
            foreign = [p.name for p in self.path.iterdir() if p.name not in own and not is_partial(p)]
        except OSError as error:
            raise DermsslError(f"--output {self.path}: cannot be written: {error.strerror}") from error
        if foreign:
            raise DermsslError(
                f"--output {self.path}: holds files that are not a run's ({', '.join(sorted(foreign)[:3])}); "
                "name an empty or new folder"
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
            return json.loads((self.backbone / "config.json").read_text(encoding="utf-8"))["dermssl"]["step"]
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def read_config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        try:
            return json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DermsslError(f"{self.config} cannot be read: {error}") from error

    def write_config(self, config: dict[str, Any]) -> None:
        """Write ``config.json``."""
        write_text(self.config, json.dumps(config, indent=2) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``, one dict an epoch."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]  # a kill can cut the last line

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one line to ``metrics.jsonl``."""
        try:
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise DermsslError(f"cannot write {self.metrics}: {error.strerror}") from error

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
            file = open(self.path / ".lock", "w")  # noqa: SIM115 - held below
        except OSError as error:
            raise DermsslError(f"--output {self.path}: cannot be written: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DermsslError(f"--output {self.path}: another process is writing this run") from error
            yield

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        """Copy the log of this package into ``log.txt``."""
        handler = logging.FileHandler(self.log, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        level = LOGGER.level
        LOGGER.setLevel(min(level or logging.INFO, logging.INFO))
        LOGGER.addHandler(handler)
        try:
            yield
        finally:
            LOGGER.removeHandler(handler)
            LOGGER.setLevel(level)
            handler.close()
