"""What a run directory tells about its weights: the record of an export.

Everything that a card, ``PROVENANCE.md`` and ``dermssl info`` say comes from it. It holds no paths of the machine it
was made on, only the last part of each.
"""

from pathlib import Path
from typing import Any

import timm

from dermssl.data.known import KNOWN
from dermssl.errors import DermsslError
from dermssl.hub.arguments import ExportOptions
from dermssl.hub.evaluations import Evaluations
from dermssl.pretraining.record import training_record
from dermssl.privacy import spoken

NOTHING_ASKED = ExportOptions()
# Licences of weights that leave it open under which one others are given away that were made of them; or none is known.
PERMISSIVE = ("apache-2.0", "mit", "bsd-3-clause", "unknown")


def read_run(run: Path, options: ExportOptions = NOTHING_ASKED) -> dict[str, Any]:
    """The record of a run directory.

    Args:
        run: with ``config.json``, ``metrics.jsonl``, ``backbone/`` and perhaps ``evaluations/*.json``: what
            ``dermssl eval-knn ... --json`` and ``Report.save`` write.
        options: the licence of the weights, by default that of the images where they are a known set, or of the run
            that this one started from; sources of images that are no known set; what the card says of the images.

    Raises:
        DermsslError: ``config.json`` is missing or unreadable, or the licence is another than that of a known set or of
            the run it started from.
    """
    trained, evaluations = training_record(run), Evaluations(run)
    credits = [source for made in [*trained["before"], trained] for source in made["attribution"]]
    credits += () if trained["data"]["layout"] in KNOWN else options.attribution
    return {
        **trained,
        "data": {**trained["data"], "description": options.description and spoken(options.description)},
        "license": _license(trained, options.license),
        "attribution": list(dict.fromkeys(map(spoken, credits))),
        "results": evaluations.results,
        "peers": evaluations.peers,
        "figures": evaluations.figures,
    }


def _license(trained: dict[str, Any], asked: str | None) -> str | None:
    """The licence that weights carry: that of their images, of the images of the runs before, and of timm's weights."""
    runs = [*trained["before"], trained]
    owed = {license: name for run in runs if (license := _of_timm(name := str(run["settings"].get("init"))))}
    owed |= {run["license"]: run["data"]["name"] for run in runs if run["license"]}
    if asked is None and len(owed) > 1:
        sources = " and ".join(f"{name} ({license})" for license, name in owed.items())
        raise DermsslError(f"the weights come from {sources}: say which licence they carry with --license")
    if asked is not None and owed and asked not in owed:
        license, name = next(iter(owed.items()))
        raise DermsslError(f"--license {asked}: the weights come from {name}, whose licence {license} they carry too")
    return asked or next(iter(owed), None)


def _of_timm(weights: str) -> str | None:
    """The licence of ``timm:NAME`` weights, if it binds what is made of them; None for all other weights."""
    made = timm.get_pretrained_cfg(weights.removeprefix("timm:")) if weights.startswith("timm:") else None
    return made.license if made and made.license not in PERMISSIVE else None
