"""What a run directory tells about its weights: the ``dermssl`` block of an exported ``config.json``.

Everything that a card, ``PROVENANCE.md`` and ``dermssl info`` say comes from this block. It holds no paths of the
machine it was made on, only the last part of each.
"""

import json
import math
from pathlib import Path
from typing import Any

from dermssl.data.known import KNOWN
from dermssl.errors import DermsslError
from dermssl.hub.datasets import last_part, name_of, without_paths
from dermssl.hub.evaluations import ELSEWHERE, EVALUATIONS, peers_of, read_reports, results_of, run_of

PICTURES = (".png", ".svg")


def read_run(
    run: Path, *, license: str | None = None, attribution: tuple[str, ...] = (), description: str | None = None
) -> dict[str, Any]:
    """The record of a run directory.

    Args:
        run: with ``config.json``, ``metrics.jsonl``, ``backbone/`` and perhaps ``evaluations/*.json``: what
            ``dermssl eval-knn ... --json`` and ``Report.save`` write.
        license: of the weights, as the Hub names it; default: that of the images where they are a known set, or of
            the run that this one started from.
        attribution: what the images' licence asks to be said, where the set is not a known one.
        description: of the images, for the card.

    Raises:
        DermsslError: ``config.json`` is missing or unreadable, or ``license`` is another than that of a known set or of
            the run it started from.
    """
    trained, reports = _trained(run), read_reports(run)
    credits = [source for made in [*trained["before"], trained] for source in made["attribution"]]
    credits += () if trained["data"]["layout"] in KNOWN else attribution
    return {
        **trained,
        "data": {**trained["data"], "description": description},
        "license": _license(trained, license),
        "attribution": list(dict.fromkeys(credits)),
        "results": results_of(run, reports),
        "peers": peers_of(run, reports),
        "figures": _figures(run),
    }


def earlier_runs(weights: str | None) -> list[dict[str, Any]]:
    """How weights were made that another run starts from, the oldest run first; empty where no file tells.

    Args:
        weights: as ``pretrain`` was given them; a run or exported directory says how it was trained.
    """
    if weights is None or weights.startswith(ELSEWHERE):
        return []
    folder = Path(weights).resolve()
    folder = run_of(folder.parent if folder.is_file() else folder)
    try:
        if (folder / "backbone").is_dir():
            record = _trained(folder)
        else:
            record = read_config((folder / "config.json").read_text(encoding="utf-8"), weights)["dermssl"]
        kept = {key: record[key] for key in ("settings", "resolved", "training", "license", "attribution")}
        data = {key: record["data"][key] for key in ("name", "folder", "images", "content_hash")}
    except (OSError, DermsslError, KeyError, TypeError):
        return []
    return [*record.get("before", []), {"name": folder.name, "data": data, **kept}]


def _trained(run: Path) -> dict[str, Any]:
    """What was trained, on what and how far, without the evaluations."""
    try:
        stored = json.loads((run / "config.json").read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise DermsslError(f"{run / 'config.json'} cannot be read: {error}; give a run directory") from error
    config, resolved, data = _part(stored, "config"), _part(stored, "resolved"), _part(stored, "data")
    before, known = stored.get("before", []), KNOWN.get(str(data.get("layout")))
    return {
        "method": config.get("method"),
        "settings": without_paths(config) | _init(config.get("init"), before),
        "resolved": resolved,
        "before": before,
        "data": {
            **{key: data.get(key) for key in ("layout", "images", "content_hash", "problems")},
            "name": name_of(data.get("layout"), data.get("source")),
            "folder": last_part(data.get("source")),
        },
        "training": _training(run, resolved) | {"started": stored.get("started"), "hardware": stored.get("hardware")},
        "versions": _part(stored, "versions"),
        "license": known.license if known else None,
        "attribution": list(known.attribution) if known else [],
    }


def _license(trained: dict[str, Any], asked: str | None) -> str | None:
    """The licence that weights carry: that of their images, and of the images of the runs before."""
    owed = {run["license"]: run["data"]["name"] for run in [*trained["before"], trained] if run["license"]}
    if asked is None and len(owed) > 1:
        images = " and ".join(f"{name} ({license})" for license, name in owed.items())
        raise DermsslError(f"the weights were trained on {images}: say which licence they carry with --license")
    if asked is not None and owed and asked not in owed:
        license, name = next(iter(owed.items()))
        raise DermsslError(f"--license {asked}: the images are {name}, whose licence {license} the weights carry too")
    return asked or next(iter(owed), None)


def _init(weights: str | None, before: list[dict[str, Any]]) -> dict[str, Any]:
    """What a run starts from as its commands spell it: the run before it, or weights that are no path."""
    if before:
        return {"init": before[-1]["name"]}
    return {"init": weights} if weights and weights.startswith(ELSEWHERE) else {}


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


def _part(stored: dict[str, Any], name: str) -> dict[str, Any]:
    value = stored.get(name)
    return value if isinstance(value, dict) else {}
