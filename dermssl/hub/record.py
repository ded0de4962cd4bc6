"""What a run directory tells about its weights: the ``dermssl`` block of an exported ``config.json``.

Everything that a card, ``PROVENANCE.md`` and ``dermssl info`` say comes from this block. It holds no paths of the
machine it was made on, only the last part of each.
"""

import json
import logging
from pathlib import Path
from typing import Any

from dermssl.data.known import KNOWN
from dermssl.errors import DermsslError
from dermssl.hub.carried import PICTURES, picture_fault
from dermssl.hub.evaluations import EVALUATIONS, peers_of, read_reports, results_of
from dermssl.pretraining.record import training_record
from dermssl.privacy import printable

LOGGER = logging.getLogger("dermssl")


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
    trained, reports = training_record(run), read_reports(run)
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


def _figures(run: Path) -> list[str]:
    """The pictures in a run's ``evaluations/`` itself; an export takes them along and its card shows them."""
    folder = run / EVALUATIONS
    if folder.is_symlink() or not folder.is_dir():
        return []
    pictures = []
    for file in sorted(folder.iterdir()):
        if file.suffix not in PICTURES:
            continue
        if fault := picture_fault(file):
            LOGGER.warning("%s is left out: it %s", printable(str(file)), fault)
        else:
            pictures.append(file.name)
    return pictures


def read_config(text: str, source: str) -> dict[str, Any]:
    """An exported ``config.json`` with its record.

    Raises:
        DermsslError: it has none: it was not written by ``dermssl export``.
    """
    try:
        config = json.loads(text)
        if "results" in config["dermssl"] and "architecture" in config:
            return config
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise DermsslError(f"{source}: not a config.json written by dermssl export")
