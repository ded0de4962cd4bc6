"""What a run directory's ``evaluations/`` tell about its weights, and about those they were compared with."""

import filecmp
import json
import logging
from pathlib import Path
from typing import Any

from dermssl.backbones.load import WEIGHTS_FILE, is_path, weights_folder
from dermssl.data.known import name_of
from dermssl.hub.results import THIS
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.privacy import last_part, without_paths

LOGGER = logging.getLogger("dermssl")

EVALUATIONS = "evaluations"

# A copied folder's files may be dated in any order, but close to one another.
_SAME_TIME = 60.0


def read_reports(run: Path) -> dict[Path, dict[str, Any]]:
    """The content of each file in ``evaluations/`` that may be a report; what is none is said and left out."""
    reports = {}
    for file in sorted((run / EVALUATIONS).rglob("*.json")):
        try:
            reports[file] = dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            _leave_out(file, error)
    return reports


def results_of(run: Path, reports: dict[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    """What a card needs of the reports, those of the run's own weights first."""
    weights = run / "backbone" / WEIGHTS_FILE
    made = weights.stat().st_mtime if weights.exists() else 0.0
    names = _names(run, reports)
    results = []
    for file, report in reports.items():
        try:
            result = _result(report, names[report["weights"]])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _leave_out(file, error)
            continue
        if result["own"] and file.stat().st_mtime < made - _SAME_TIME:
            LOGGER.warning("%s is left out: it is older than the weights; evaluate them again", file)
            continue
        results.append(result)
    return sorted(results, key=lambda result: not result["own"])


def peers_of(run: Path, reports: dict[Path, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """How the other runs were trained that the same evaluations were made with, by the name the card calls each.

    Each has the name of its images' ``folder`` and the ``settings`` of its ``pretrain``. Weights that are no run
    directory, or one that is gone, are left out.
    """
    peers = {}
    for weights, name in _names(run, reports).items():
        path = _path(weights)
        if path is None or name == THIS:
            continue
        try:
            stored = json.loads((RunDirectory.of(path).path / "config.json").read_text(encoding="utf-8"))
            folder, settings = last_part(stored["data"]["source"]), without_paths(stored["config"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        peers[name] = {"folder": folder, "settings": settings}
    return peers


def _leave_out(file: Path, error: Exception) -> None:
    LOGGER.warning("%s is left out: not a report of an evaluation (%s)", file, type(error).__name__)


def _result(report: dict[str, Any], name: str) -> dict[str, Any]:
    """What a card needs of one report on weights that it calls ``name``."""
    records = report.get("records") or {}
    train, test = records.get("train") or {}, records.get("test") or records.get("train") or {}
    return {
        "own": name == THIS,
        "weights": name,
        "evaluation": report.get("kind") or report["protocol"].get("evaluation"),
        "data": {
            "name": name_of(test.get("layout"), test.get("source") or report.get("data")),
            "folder": last_part(test.get("source") or report.get("data")),
            "train_folder": last_part(train.get("source") or report.get("data")),
            **{key: test.get(key) for key in ("layout", "images", "groups", "classes", "content_hash")},
        },
        "protocol": without_paths(report["protocol"]),
        **{key: report.get(key) for key in ("metrics", "std", "interval", "majority_accuracy")},
        "notes": list(report.get("notes") or ()),
    }


def _names(run: Path, reports: dict[Path, dict[str, Any]]) -> dict[str, str]:
    """The weights of the reports, as they spell them -> as the card calls them.

    A path is called by its last part, or by as many as tell it from the others; each run has a ``backbone``, which is
    left out.
    """
    spellings = sorted({report["weights"] for report in reports.values() if isinstance(report.get("weights"), str)})
    paths = {spelling: path for spelling in spellings if (path := _path(spelling)) is not None}
    own = _own(run, paths)
    runs = {RunDirectory.of(path).path for spelling, path in paths.items() if spelling not in own}
    names = {spelling: spelling for spelling in spellings} | dict.fromkeys(own, THIS)
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
            ", ".join(sorted(gone)),
        )
        return own
    return gone


def _path(weights: str) -> Path | None:
    """Where weights are, if on a disk: as they were given, a run, its backbone or a file."""
    return Path(weights).resolve() if is_path(weights) else None


def _is_of(weights: Path, run: Path) -> bool:
    """Whether weights that are there are those of ``run``, or of a copy."""
    if run.resolve() == weights or run.resolve() in weights.parents:
        return True
    folder = weights_folder(weights)
    file, own = (folder / WEIGHTS_FILE if folder else weights), run / "backbone" / WEIGHTS_FILE
    return file.is_file() and own.is_file() and filecmp.cmp(file, own, shallow=False)
