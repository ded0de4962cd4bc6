"""How a set of weights was made: the record of a run directory, and of the runs that it started from.

A record holds no path of the machine it was made on, only the last part of each.
"""

import math
from pathlib import Path
from typing import Any

from dermssl.backbones.load import CONFIG_FILE, is_path
from dermssl.data.known import KNOWN, name_of
from dermssl.documents import read_json
from dermssl.errors import DermsslError
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.privacy import last_part, without_paths

# Beside the config.json of an export: its evaluations, and the runs that its run started from.
RESULTS_FILE = "results.json"
# What exported weights tell of their training.
RECORD: dict[str, Any] = {"settings": dict, "resolved": dict, "training": dict, "data": dict, "before?": [dict]}


def training_record(folder: Path) -> dict[str, Any]:
    """What a run directory tells about its training, without the evaluations.

    Returns:
        ``method``, ``settings`` (every option), ``resolved`` (what "default" and "auto" came to), ``before`` (the runs
        it started from), ``data``, ``training`` (how far it went, how long it took), ``versions``, and the ``license``
        and ``attribution`` of the images where they are a known set.

    Raises:
        DermsslError: ``config.json`` is missing or unreadable.
    """
    run = RunDirectory(folder)
    try:
        stored = run.read_config()
    except DermsslError as error:
        raise DermsslError(f"{error}; give a run directory") from error
    config, resolved, data = (_part(stored, name) for name in ("config", "resolved", "data"))
    before, known = stored.get("before", []), KNOWN.get(str(data.get("layout")))
    return {
        "method": config.get("method"),
        "settings": without_paths(config) | _init(config.get("init"), before),
        "resolved": resolved,
        "before": before,
        "data": {
            **{key: data.get(key) for key in ("layout", "images", "content_hash", "problems", "fit")},
            "name": name_of(data.get("layout"), data.get("source")),
            "folder": last_part(data.get("source")),
        },
        "training": _training(run, resolved) | {"started": stored.get("started"), "hardware": stored.get("hardware")},
        "versions": _part(stored, "versions"),
        "license": known.license if known else None,
        "attribution": list(known.attribution) if known else [],
    }


def earlier_runs(weights: str | None) -> list[dict[str, Any]]:
    """How weights were made that another run starts from, the oldest run first; empty where no file tells.

    Args:
        weights: as ``pretrain`` was given them; a run or exported directory says how it was trained.
    """
    if weights is None or not is_path(weights):
        return []
    path = Path(weights).resolve()
    folder = RunDirectory.of(path.parent if path.is_file() else path).path
    try:
        if (folder / "backbone").is_dir():
            record = training_record(folder)
        else:
            what, remedy = "the configuration of exported weights", "export them again"
            record = read_json(folder / CONFIG_FILE, what, {"dermssl": RECORD}, remedy=remedy)["dermssl"]
            if (folder / RESULTS_FILE).exists():
                what = "the results of exported weights"
                before = read_json(folder / RESULTS_FILE, what, {"before": [dict]}, remedy=remedy)["before"]
                record = {"before": before, **record}
        kept = {key: record.get(key) for key in ("settings", "resolved", "training", "license", "attribution")}
        data = {key: record["data"].get(key) for key in ("name", "folder", "images", "content_hash")}
    except DermsslError:
        return []
    return [*record.get("before", []), {"name": folder.name, "data": data, **kept}]


def _init(weights: str | None, before: list[dict[str, Any]]) -> dict[str, Any]:
    """What a run starts from as its commands spell it: the run before it, or weights that are not a path."""
    if before:
        return {"init": before[-1]["name"]}
    return {"init": weights} if weights and not is_path(weights) else {}


def _training(run: RunDirectory, resolved: dict[str, Any]) -> dict[str, Any]:
    """How far it went, how long it took, where the loss ended."""
    history = run.history()
    if not history:
        return {"epochs": 0, "finished": False}
    last = history[-1]
    seconds = [line["seconds"] for line in history if isinstance(line.get("seconds"), int | float)]
    return {
        "epochs": last.get("epoch"),
        "steps": last.get("step"),
        "finished": last.get("step", 0) >= (resolved.get("steps") or math.inf),
        "seconds": round(sum(seconds), 1),
        "images_per_second": last.get("images_per_second"),
        "last": {key: value for key, value in last.items() if key not in _NOT_LOSSES},
    }


# Every other number of an epoch's line says where the training ended: losses, accuracies, and what a method adds.
_NOT_LOSSES = ("epoch", "step", "lr", "momentum", "images_per_second", "seconds")


def _part(stored: dict[str, Any], name: str) -> dict[str, Any]:
    value = stored.get(name)
    return value if isinstance(value, dict) else {}
