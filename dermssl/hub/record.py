"""What a run directory tells about its weights: the ``dermssl`` block of an exported ``config.json``.

Everything that a card, ``PROVENANCE.md`` and ``dermssl info`` say comes from this block. It holds no paths of the
machine it was made on, only the last part of each.
"""

import filecmp
import json
import logging
import math
from pathlib import Path
from typing import Any

from dermssl.errors import DermsslError
from dermssl.hub.datasets import KNOWN, last_part, name_of
from dermssl.hub.results import THIS
from dermssl.hub.weights import WEIGHTS_FILE, weights_folder

LOGGER = logging.getLogger("dermssl")

EVALUATIONS = "evaluations"
PICTURES = (".png", ".svg")

# A copied folder's files may be dated in any order, but close to one another.
_SAME_TIME = 60.0


def read_run(run: Path, *, license: str | None = None, attribution: tuple[str, ...] = ()) -> dict[str, Any]:
    """The record of a run directory.

    Args:
        run: with ``config.json``, ``metrics.jsonl``, ``backbone/`` and perhaps ``evaluations/*.json``: what
            ``dermssl eval-knn ... --json`` and ``Report.save`` write.
        license: of the weights, as the Hub names it; default: that of the images where they are a known set.
        attribution: what the images' licence asks to be said, where the set is not a known one.

    Raises:
        DermsslError: ``config.json`` is missing or unreadable, or ``license`` is freer than a known set allows.
    """
    try:
        stored = json.loads((run / "config.json").read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise DermsslError(f"{run / 'config.json'} cannot be read: {error}; give a run directory") from error
    config, resolved = _part(stored, "config"), _part(stored, "resolved")
    data = _part(stored, "data")
    known = KNOWN.get(str(data.get("layout")))
    if known and license not in (None, known.license):
        raise DermsslError(
            f"--license {license}: the images are {known.name}, whose licence {known.license} the weights carry too"
        )
    return {
        "method": config.get("method"),
        "settings": _without_paths(config),
        "resolved": resolved,
        "data": {
            **{key: data.get(key) for key in ("layout", "images", "content_hash", "problems")},
            "name": name_of(data.get("layout"), data.get("source")),
            "folder": last_part(data.get("source")),
        },
        "training": _training(run, resolved) | {"started": stored.get("started"), "hardware": stored.get("hardware")},
        "versions": _part(stored, "versions"),
        "license": known.license if known else license,
        "attribution": list(known.attribution if known else attribution),
        "results": _results(run),
        "figures": _figures(run),
    }


def _figures(run: Path) -> list[str]:
    """The pictures in a run's ``evaluations/`` itself; an export takes them along and its card shows them."""
    folder = run / EVALUATIONS
    return sorted(file.name for file in folder.iterdir() if file.suffix in PICTURES) if folder.is_dir() else []


def read_config(text: str, source: str) -> dict[str, Any]:
    """An exported ``config.json`` with its record.

    Raises:
        DermsslError: it has none: it was not written by ``dermssl export``.
    """
    try:
        config = json.loads(text)
        if "results" in config["dermssl"] and "architecture" in config:
            return config
    except (ValueError, KeyError, TypeError):
        pass
    raise DermsslError(f"{source}: not a config.json written by dermssl export")


def _training(run: Path, resolved: dict[str, Any]) -> dict[str, Any]:
    """How far it went, how long it took, where the loss ended."""
    history = []
    if (run / "metrics.jsonl").exists():
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        history = [json.loads(line) for line in lines if line.endswith("}")]  # a kill can cut the last line
    if not history:
        return {"epochs": 0, "finished": False}
    last = history[-1]
    seconds = [line["seconds"] for line in history if "seconds" in line]
    return {
        "epochs": last.get("epoch"),
        "steps": last.get("step"),
        "finished": last.get("step", 0) >= (resolved.get("steps") or math.inf),
        "seconds": round(sum(seconds), 1),
        "images_per_second": last.get("images_per_second"),
        "last": {key: value for key, value in last.items() if key.startswith(("loss", "rotation_", "knn_"))},
    }


def _results(run: Path) -> list[dict[str, Any]]:
    """The reports of evaluations in the run directory, this run's own first."""
    weights = run / "backbone" / "model.safetensors"
    made = weights.stat().st_mtime if weights.exists() else 0.0
    results = []
    for file in sorted((run / EVALUATIONS).rglob("*.json")):
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
            result = _result(report, run)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            LOGGER.warning("%s is left out: not a report of an evaluation (%s)", file, type(error).__name__)
            continue
        if result["own"] and file.stat().st_mtime < made - _SAME_TIME:
            LOGGER.warning("%s is left out: it is older than the weights; evaluate them again", file)
            continue
        results.append(result)
    return sorted(results, key=lambda result: not result["own"])


def _result(report: dict[str, Any], run: Path) -> dict[str, Any]:
    """What a card needs of one report."""
    weights = report["weights"]
    # a report names the weights as they were given: the run, its backbone or the file in it
    path = Path(weights).resolve() if ":" not in weights else None
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
        "protocol": _without_paths(report["protocol"]),
        **{key: report.get(key) for key in ("metrics", "std", "interval", "majority_accuracy")},
        "notes": list(report.get("notes") or ()),
    }


def _called(weights: Path) -> str:
    """The last part of a path that tells it from others: each run has a ``backbone``."""
    return weights.parent.name if weights.name == "backbone" else weights.name


def _is_of(weights: Path, run: Path) -> bool:
    """Whether a report's weights are those of ``run``, or of a copy; a run moved since is known by its name."""
    if run == weights or run in weights.parents:
        return True
    if not weights.exists():
        return run.name in weights.parts[-3:]
    folder = weights_folder(weights)
    file, own = (folder / WEIGHTS_FILE if folder else weights), run / "backbone" / WEIGHTS_FILE
    return file.is_file() and own.is_file() and filecmp.cmp(file, own, shallow=False)


def _part(stored: dict[str, Any], name: str) -> dict[str, Any]:
    value = stored.get(name)
    return value if isinstance(value, dict) else {}


def _without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """The values, each path cut to its last part: where somebody keeps his images is nobody's business."""
    return {key: last_part(v) if isinstance(v, str) and ("/" in v or "\\" in v) else v for key, v in values.items()}
