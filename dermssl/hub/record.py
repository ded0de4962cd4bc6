"""What a run directory tells about its weights: the ``dermssl`` block of an exported ``config.json``.

Everything that a card, ``PROVENANCE.md`` and ``dermssl info`` say comes from this block. It holds no paths of the
machine it was made on, only the last part of each.
"""

import json
import math
from pathlib import Path
from typing import Any

from dermssl.errors import DermsslError
from dermssl.hub.datasets import KNOWN, last_part, name_of, without_paths
from dermssl.hub.evaluations import EVALUATIONS, peers_of, read_reports, results_of

PICTURES = (".png", ".svg")


def read_run(
    run: Path, *, license: str | None = None, attribution: tuple[str, ...] = (), description: str | None = None
) -> dict[str, Any]:
    """The record of a run directory.

    Args:
        run: with ``config.json``, ``metrics.jsonl``, ``backbone/`` and perhaps ``evaluations/*.json``: what
            ``dermssl eval-knn ... --json`` and ``Report.save`` write.
        license: of the weights, as the Hub names it; default: that of the images where they are a known set.
        attribution: what the images' licence asks to be said, where the set is not a known one.
        description: of the images, for the card.

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
    reports = read_reports(run)
    return {
        "method": config.get("method"),
        "settings": without_paths(config),
        "resolved": resolved,
        "data": {
            **{key: data.get(key) for key in ("layout", "images", "content_hash", "problems")},
            "name": name_of(data.get("layout"), data.get("source")),
            "folder": last_part(data.get("source")),
            "description": description,
        },
        "training": _training(run, resolved) | {"started": stored.get("started"), "hardware": stored.get("hardware")},
        "versions": _part(stored, "versions"),
        "license": known.license if known else license,
        "attribution": list(known.attribution if known else attribution),
        "results": results_of(run, reports),
        "peers": peers_of(run, reports),
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


def _part(stored: dict[str, Any], name: str) -> dict[str, Any]:
    value = stored.get(name)
    return value if isinstance(value, dict) else {}
