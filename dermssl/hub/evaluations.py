"""What a run directory's ``evaluations/`` tell about its weights, and about those they were compared with."""

import filecmp
import json
import logging
from pathlib import Path
from typing import Any

from dermssl.hub.datasets import last_part, name_of, without_paths
from dermssl.hub.results import THIS
from dermssl.hub.weights import WEIGHTS_FILE, weights_folder

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
        except (OSError, ValueError, TypeError) as error:
            _leave_out(file, error)
    return reports


def results_of(run: Path, reports: dict[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    """What a card needs of the reports, those of the run's own weights first."""
    weights = run / "backbone" / WEIGHTS_FILE
    made = weights.stat().st_mtime if weights.exists() else 0.0
    results = []
    for file, report in reports.items():
        try:
            result = _result(report, run)
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
    for report in reports.values():
        path = _path(report.get("weights"))
        if path is None or _is_of(path, run.resolve()):
            continue
        try:
            stored = json.loads((_run_of(path) / "config.json").read_text(encoding="utf-8"))
            folder, settings = last_part(stored["data"]["source"]), without_paths(stored["config"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        peers[_called(path)] = {"folder": folder, "settings": settings}
    return peers


def _leave_out(file: Path, error: Exception) -> None:
    LOGGER.warning("%s is left out: not a report of an evaluation (%s)", file, type(error).__name__)


def _result(report: dict[str, Any], run: Path) -> dict[str, Any]:
    """What a card needs of one report."""
    weights = report["weights"]
    path = _path(weights)
    own = path is not None and _is_of(path, run.resolve())
    records = report.get("records") or {}
    train, test = records.get("train") or {}, records.get("test") or records.get("train") or {}
    return {
        "own": own,
        "weights": THIS if own else (weights if path is None else _called(path)),
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


def _path(weights: Any) -> Path | None:
    """Where a report's weights are, if on a disk: it names them as they were given, a run, its backbone or a file."""
    return Path(weights).resolve() if isinstance(weights, str) and ":" not in weights else None


def _run_of(weights: Path) -> Path:
    """The run directory that a path to its ``backbone`` belongs to."""
    return weights.parent if weights.name == "backbone" else weights


def _called(weights: Path) -> str:
    """The last part of a path that tells it from others: each run has a ``backbone``."""
    return _run_of(weights).name


def _is_of(weights: Path, run: Path) -> bool:
    """Whether a report's weights are those of ``run``, or of a copy; a run moved since is known by its name."""
    if run == weights or run in weights.parents:
        return True
    if not weights.exists():
        return run.name in weights.parts[-3:]
    folder = weights_folder(weights)
    file, own = (folder / WEIGHTS_FILE if folder else weights), run / "backbone" / WEIGHTS_FILE
    return file.is_file() and own.is_file() and filecmp.cmp(file, own, shallow=False)
