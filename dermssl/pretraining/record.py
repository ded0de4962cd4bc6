"""How a set of weights was made: the record of a run directory, and of the runs that it started from.

A record holds no path of the machine it was made on, only the last part of each.
"""

import contextlib
import itertools
import math
from pathlib import Path
from typing import Any

from dermssl.backbones.convert import CONVERTED
from dermssl.backbones.download import download
from dermssl.backbones.load import CONFIG_FILE, is_path
from dermssl.data.known import KNOWN, name_of
from dermssl.documents import read_json
from dermssl.errors import DermsslError
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.privacy import last_part, without_paths

# Beside the config.json of an export: its evaluations, and the runs that its run started from.
RESULTS_FILE = "results.json"
# What exported weights tell of their training.
RECORD: dict[str, Any] = {
    "settings": dict,
    "resolved": dict,
    "training": dict,
    "data": dict,
    "license?": (str, None),
    "attribution?": [str],
    "before?": [dict],
}
# What a converted checkpoint tells of itself instead.
_CONVERTED: dict[str, Any] = {CONVERTED: {"file": str, "license?": (str, None)}}


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
        weights: as ``pretrain`` was given them; a run or exported directory, here or on the Hub, says how it was
            trained.
    """
    if weights is None or not (is_path(weights) or weights.startswith("hf-hub:")):
        return []
    try:
        name, record = _published(weights) if weights.startswith("hf-hub:") else _on_disk(weights)
        kept = {key: record.get(key) for key in ("settings", "resolved", "training", "license")}
        kept["attribution"] = record.get("attribution", [])
        kept |= {CONVERTED: record[CONVERTED]} if CONVERTED in record else {}
        data = {key: record["data"].get(key) for key in ("name", "folder", "images", "content_hash")}
    except DermsslError:
        return []
    before = record.get("before", [])
    taken = {run.get("name") for run in before}  # two folders may have one name, and a page tells runs apart by it
    name = next(free for n in itertools.count(1) if (free := f"{name}-{n}" if n > 1 else name) not in taken)
    return [*before, {"name": name, "data": data, **kept}]


def _on_disk(weights: str) -> tuple[str, dict[str, Any]]:
    """Name and record of a run directory or an exported one."""
    path = Path(weights).resolve()
    folder = RunDirectory.of(path.parent if path.is_file() else path).path
    if (folder / "backbone").is_dir():
        return folder.name, training_record(folder)
    results = folder / RESULTS_FILE
    return folder.name, _exported(folder / CONFIG_FILE, results if results.exists() else None)


def _published(weights: str) -> tuple[str, dict[str, Any]]:
    """Name and record of an export on the Hub."""
    repo, _, revision = weights.removeprefix("hf-hub:").partition("@")
    config = download(repo, CONFIG_FILE, revision or None, weights)
    _exported(config, None)  # somebody else's weights have no results of ours
    results = None
    with contextlib.suppress(DermsslError):  # those of 0.1.0 stand in config.json
        results = download(repo, RESULTS_FILE, revision or None, weights)
    return repo.rpartition("/")[2], _exported(config, results)


def _exported(config: Path, results: Path | None) -> dict[str, Any]:
    """The record in the files of an export, or of a converted checkpoint."""
    what, remedy = "the configuration of exported weights", "export them again"
    content = read_json(config, what, {"architecture?": str, "dermssl": (RECORD, _CONVERTED)}, remedy=remedy)
    record: dict[str, Any] = content["dermssl"]
    if CONVERTED in record:
        return _converted(content)
    if results is None:
        return record
    what = "the results of exported weights"
    return {"before": read_json(results, what, {"before": [dict]}, remedy=remedy)["before"], **record}


def _converted(content: dict[str, Any]) -> dict[str, Any]:
    """What can be told of a checkpoint that another program trained."""
    found, cfg = content["dermssl"][CONVERTED], content.get("pretrained_cfg", {})
    file = last_part(found["file"])
    made = {"backbone": content.get("architecture"), "image_size": cfg.get("input_size", [None])[-1]}
    return {
        **{part: {} for part in ("settings", "resolved", "training")},
        "license": found.get("license"),
        "data": {"name": file, "folder": file},
        CONVERTED: {**made, "mean": cfg.get("mean"), "std": cfg.get("std")},
    }


def _init(weights: str | None, before: list[dict[str, Any]]) -> dict[str, Any]:
    """What a run starts from as its commands spell it: weights that are not a path, or the run before it."""
    if weights and not is_path(weights):
        return {"init": weights}
    return {"init": before[-1]["name"]} if before else {}


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
