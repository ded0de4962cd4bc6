"""What a run directory's ``evaluations/`` tell about its weights, and about those they were compared with."""

import dataclasses
import filecmp
import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dermssl.backbones.load import BACKBONE_FOLDER, WEIGHTS_FILE, is_path, weights_folder, weights_sha256
from dermssl.data.known import name_of
from dermssl.documents import read_json
from dermssl.errors import DermsslError
from dermssl.evaluation.report import plain
from dermssl.hub.carried import PICTURES, picture_fault
from dermssl.hub.exported import is_picture_name
from dermssl.hub.wording import THIS
from dermssl.pretraining.config import PretrainConfig
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.privacy import last_part, printable, spoken, without_paths

LOGGER = logging.getLogger("dermssl")

# A copied folder's files may be dated in any order, but close to one another.
_SAME_TIME = 60.0
_MOST_BYTES = 64 * 2**20
_FIGURES = ({str: (float, None)}, None)
_RECORD = ({"layout?": (str, None), "source?": (str, None), "classes?": ({str: int}, None)}, None)
# What is asked of a report here; what an earlier version did not write may be missing.
_REPORT = {
    "weights": str,
    "weights_sha256?": str,
    "protocol": {"evaluation?": str, "fraction?": (float, None), "test?": (str, None), "image_size?": (int, None)},
    "kind?": (str, None),
    "data?": (str, None),
    "records?": ({"train?": _RECORD, "test?": _RECORD}, None),
    "metrics?": _FIGURES,
    "std?": _FIGURES,
    "interval?": ({str: [(float, None)]}, None),
    "majority_accuracy?": (float, None),
    "notes?": ([str], None),
}


class Evaluations:
    """The reports and pictures in the ``evaluations`` of a run; whatever is wrong with one is said once, here.

    Links are left out, whether they are files or folders: they may lead anywhere.

    Attributes:
        results: what a card needs of the reports, those of the run's own weights first.
        peers: how the other runs were trained that the same evaluations were made with, by the name the card calls
            each: the name of its images' ``folder`` and the ``settings`` of its ``pretrain``. Weights that are no run
            directory, or one that is gone, are left out.
        figures: the names of the pictures in the folder itself; an export takes them along and its card shows them.
    """

    def __init__(self, run: Path) -> None:
        self._run = RunDirectory(run)
        files = list(_files(self._run.evaluations))
        self._reports = self._placed(dict(_read_reports(file for file in files if file.suffix == ".json")))
        self._names = _names(self._run.path, [report["weights"] for report in self._reports.values()])
        self.results = self._results()
        self.peers = self._peers()
        pictures = (file for file in files if file.suffix in PICTURES and file.parent == self._run.evaluations)
        self.figures = [file.name for file in pictures if _is_shown(file)]

    def _placed(self, reports: dict[Path, dict[str, Any]]) -> dict[Path, dict[str, Any]]:
        """The reports, with the place of their weights where it is found: a report tells the last part of a path only.

        The hash tells them apart: runs in different folders may have one name, and a run that went on has others.
        """
        own = self._run.path.resolve()
        nearby = (own, *sorted(path for path in own.parent.iterdir() if path.is_dir() and path != own))
        sum_of = functools.cache(weights_sha256)
        placed = {}
        for file, report in reports.items():
            weights, digest = report["weights"], report.get("weights_sha256")
            if digest and (given := _path(weights)) is not None:
                found = next((place for place in (given, *nearby) if sum_of(place) == digest), None)
                if found is None and last_part(weights) in (own.name, BACKBONE_FOLDER) and self._is_outdated(file):
                    continue
                report = {**report, "weights": str(found.resolve()) if found else f"{weights} ({digest[:8]})"}
            placed[file] = report
        return placed

    def _is_outdated(self, file: Path) -> bool:
        """Whether a report is older than the run's weights; says so."""
        weights = self._run.weights
        old = weights.exists() and file.stat().st_mtime < weights.stat().st_mtime - _SAME_TIME
        if old:
            LOGGER.warning("%s is left out: it is older than the weights; evaluate them again", _shown(file))
        return old

    def _results(self) -> list[dict[str, Any]]:
        results = []
        for file, report in self._reports.items():
            result = _result(report, self._names[report["weights"]])
            if not (result["own"] and self._is_outdated(file)):
                results.append(result)
        return sorted(results, key=lambda result: not result["own"])

    def _peers(self) -> dict[str, dict[str, Any]]:
        options = {field.name for field in dataclasses.fields(PretrainConfig)}
        peers = {}
        for weights, name in self._names.items():
            path = _path(weights)
            if path is None or name == THIS:
                continue
            try:
                stored = RunDirectory.of(path).read_config()
            except (DermsslError, OSError):
                continue
            given = stored.get("config", {})
            if "method" in given and "source" in stored.get("data", {}):
                # a report may name any folder: what is no option of a training is not carried out of it
                settings = {key: value for key, value in given.items() if key in options}
                peers[name] = {"folder": last_part(stored["data"]["source"]), "settings": without_paths(settings)}
        return peers


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder and in those below it, in order; a link is said and left out."""
    if not folder.is_dir() and not folder.is_symlink():
        return
    if folder.is_symlink():
        LOGGER.warning("%s is left out: it is a link", _shown(folder))
        return
    found = []
    for root, folders, names in os.walk(folder, followlinks=False, onerror=_say_closed):
        for name in [*folders, *names]:
            path = Path(root) / name
            if path.is_symlink():
                LOGGER.warning("%s is left out: it is a link", _shown(path))
            elif name in names:
                found.append(path)
    yield from sorted(found)


def _say_closed(error: OSError) -> None:
    LOGGER.warning("%s is left out: %s", _shown(Path(error.filename)), error.strerror)


def _read_reports(files: Iterator[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in files:
        try:
            report = read_json(file, "a report", _REPORT, remedy="evaluate again", max_bytes=_MOST_BYTES)
        except DermsslError as error:
            LOGGER.warning("%s is left out: not a report of an evaluation (%s)", _shown(file), printable(str(error)))
            continue
        if not (report.get("kind") or report["protocol"].get("evaluation")):
            LOGGER.warning("%s is left out: not a report of an evaluation (no kind)", _shown(file))
            continue
        yield file, report


def _is_shown(file: Path) -> bool:
    """Whether a picture goes along; says why where it does not."""
    fault = picture_fault(file) if is_picture_name(file.name) else "has a name that does not print"
    if fault:
        LOGGER.warning("%s is left out: it %s", _shown(file), fault)
    return not fault


def _shown(path: Path) -> str:
    return printable(str(path))


def _result(report: dict[str, Any], name: str) -> dict[str, Any]:
    """What a card needs of one report on weights that it calls ``name``."""
    records = report.get("records") or {}
    train, test = records.get("train") or {}, records.get("test") or records.get("train") or {}
    return plain(
        {
            "own": name == THIS,
            "weights": name,
            "evaluation": report.get("kind") or report["protocol"]["evaluation"],
            "data": {
                "name": name_of(test.get("layout"), test.get("source") or report.get("data")),
                "folder": last_part(test.get("source") or report.get("data")),
                "train_folder": last_part(train.get("source") or report.get("data")),
                **{key: test.get(key) for key in ("layout", "images", "groups", "classes", "content_hash")},
            },
            "protocol": without_paths(report["protocol"]),
            **{key: report.get(key) for key in ("metrics", "std", "interval", "majority_accuracy")},
            "notes": [spoken(note) for note in report.get("notes") or ()],
        }
    )


def _names(run: Path, spelled: list[str]) -> dict[str, str]:
    """The weights of the reports, as they spell them -> as the card calls them.

    A path is called by its last part, or by as many as tell it from the others; each run has a ``backbone``, which is
    left out.
    """
    spellings = sorted(set(spelled))
    paths = {spelling: path for spelling in spellings if (path := _path(spelling)) is not None}
    own = _own(run, paths)
    runs = {RunDirectory.of(path).path for spelling, path in paths.items() if spelling not in own}
    names = {spelling: last_part(spelling) if is_path(spelling) else spelling for spelling in spellings}
    names |= dict.fromkeys(own, THIS)
    for spelling in paths.keys() - own:
        parts = RunDirectory.of(paths[spelling]).path.parts
        tails = (parts[-length:] for length in range(1, len(parts) + 1))
        names[spelling] = "/".join(
            next(tail for tail in tails if sum(r.parts[-len(tail) :] == tail for r in runs) == 1)
        )
    return names


def _own(run: Path, paths: dict[str, Path]) -> set[str]:
    """Which of the ``paths`` are the weights of ``run``: its own or equal ones.

    A run that was moved is known by its name, as its reports spell where it was then; not where others are called so.
    """
    own = {spelling for spelling, path in paths.items() if path.exists() and _is_of(path, run)}
    alike = {
        path: spelling for spelling, path in paths.items() if RunDirectory.of(path).path.name == run.resolve().name
    }
    gone = {spelling for path, spelling in alike.items() if not path.exists()}
    if own or not gone:
        return own
    if len(gone) > 1:
        LOGGER.warning(
            "which of %s is this run cannot be told; export it from the folder where it was evaluated",
            printable(", ".join(sorted(gone))),
        )
        return own
    return gone


def _path(weights: str) -> Path | None:
    """Where weights are, if on a disk: as they were given, a run, its backbone or a file."""
    if not is_path(weights):
        return None
    try:
        path = Path(weights).resolve()
        path.exists()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that no file can have
        return None
    return path


def _is_of(weights: Path, run: Path) -> bool:
    """Whether weights that are there are those of ``run``, or of a copy."""
    if run.resolve() == weights or run.resolve() in weights.parents:
        return True
    folder = weights_folder(weights)
    file, own = (folder / WEIGHTS_FILE if folder else weights), RunDirectory(run).weights
    return file.is_file() and own.is_file() and filecmp.cmp(file, own, shallow=False)
