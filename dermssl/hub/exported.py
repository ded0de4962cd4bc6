"""An exported folder: its files, and what ``config.json`` and ``results.json`` hold of it.

``config.json`` is what timm and an evaluation need, and how the weights were trained; everybody who loads them gets
it, so it stays small. ``results.json`` holds what only readers need: the evaluations, the runs that these were
compared with, the runs before, and the pictures of the card. Exports of 0.1.0 hold all in ``config.json``; they are
read as well, and ``python -m dermssl.hub.divide`` divides them.
"""

import json
from pathlib import Path
from typing import Any

from dermssl.backbones.identity import ID_FIELD
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE
from dermssl.documents import damaged, read_json
from dermssl.errors import DermsslError
from dermssl.files import write_text
from dermssl.hub.carried import PICTURES
from dermssl.pretraining.record import RESULTS_FILE
from dermssl.privacy import printable

CARD_FILE = "README.md"
PROVENANCE_FILE = "PROVENANCE.md"
FILES = (WEIGHTS_FILE, CONFIG_FILE, RESULTS_FILE, CARD_FILE, PROVENANCE_FILE)
MOST_CONFIG_BYTES = 8_000

_TEXT, _NUMBER, _COUNT = (str, None), (float, None), (int, None)
_FIGURES = ({str: _NUMBER}, None)
_DATA = {"name": str, "folder": str, "images": _COUNT, "content_hash": _TEXT}
_TRAINING = {
    "epochs?": _NUMBER,
    "steps?": _COUNT,
    "finished?": (bool, None),
    "seconds?": _NUMBER,
    "images_per_second?": _NUMBER,
    "hardware?": _TEXT,
    "started?": _TEXT,
    "last?": {str: (float, str, None, bool)},
}
_RESOLVED = {"batch_size?": _COUNT, "image_size?": _COUNT, "steps?": _COUNT, "images?": _COUNT}
_MORE = {
    "results": [
        {
            "own": bool,
            "weights": str,
            "evaluation": str,
            "data": {
                "name": str,
                "folder": str,
                "train_folder": str,
                "layout": _TEXT,
                "images": _COUNT,
                "groups": _COUNT,
                "classes": ({str: int}, None),
                "content_hash": _TEXT,
            },
            "protocol": {"fraction?": _NUMBER, "test?": _TEXT, "image_size?": _COUNT},
            "metrics": _FIGURES,
            "std": _FIGURES,
            "interval": ({str: [_NUMBER]}, None),
            "majority_accuracy": _NUMBER,
            "notes": [str],
        }
    ],
    "peers?": {str: {"folder": str, "settings": dict}},
    "before?": [
        {"name": str, "data": _DATA, "settings": dict, "resolved": _RESOLVED, "training": _TRAINING},
    ],
    "figures?": list,
}
RESULTS = {"format": int, f"{ID_FIELD}?": _TEXT, **_MORE}
_OF_RESULTS = tuple(name.removesuffix("?") for name in _MORE)
_BLOCK = {
    "method": _TEXT,
    "settings": dict,
    "resolved": _RESOLVED,
    "training": _TRAINING,
    "data": {**_DATA, "layout": _TEXT, "problems?": object, "description?": _TEXT, "fit?": _TEXT},
    "versions": {str: object},
    "license": _TEXT,
    "attribution": [str],
    f"{ID_FIELD}?": _TEXT,
}
_NUMBERS = [float, float, float]
CONFIG = {
    "architecture": str,
    "num_features?": int,
    "pretrained_cfg": {
        "input_size": [int, int, int],
        "mean": _NUMBERS,
        "std": _NUMBERS,
        "crop_pct": float,
        "crop_mode": str,
        "interpolation": str,
    },
    "dermssl": _BLOCK,
}
_WHAT, _WHAT_RESULTS = "the configuration of exported weights", "the results of exported weights"
_REMEDY = "export the run again"
_FORMAT = 1


def is_export(config: Any) -> bool:
    """Whether the content of a ``config.json`` was written by ``dermssl export``, however damaged it may be."""
    block = config.get("dermssl") if isinstance(config, dict) else None
    return isinstance(block, dict) and "architecture" in config and ("settings" in block or "results" in block)


def read_config(file: Path) -> dict[str, Any]:
    """An exported ``config.json``, as it is.

    Raises:
        DermsslError: it was not written by ``dermssl export``, or is damaged.
    """
    found = read_json(file, _WHAT, object, remedy=_REMEDY)
    if not is_export(found):
        raise DermsslError(f"{file}: not a config.json written by dermssl export; give an exported folder")
    schema = CONFIG
    if "results" in found["dermssl"]:  # by 0.1.0
        schema = {**CONFIG, "dermssl": {**_BLOCK, **_MORE}}
    return read_json(file, _WHAT, schema, remedy=_REMEDY)


def read_files(config: Path, results: Path | None) -> dict[str, Any]:
    """What two files of an export hold: timm's fields, and under ``dermssl`` the whole record.

    Args:
        config: ``config.json``.
        results: ``results.json``, None where there is none: an export of 0.1.0 needs none.

    Raises:
        DermsslError: one is missing, damaged, or of other weights.
    """
    found = read_config(config)
    record = found["dermssl"]
    if "results" not in record:
        if results is None or not results.exists():
            raise DermsslError(f"{config.parent}: {RESULTS_FILE} is missing; {_REMEDY}")
        more = read_json(results, _WHAT_RESULTS, RESULTS, remedy=_REMEDY)
        if more["format"] != _FORMAT:
            raise DermsslError(f"{results} has format {more['format']}, not {_FORMAT}: it needs a newer dermssl")
        if more.get(ID_FIELD) != record.get(ID_FIELD):
            fault = "it is of other weights: an export was stopped between its files"
            raise damaged(results, _WHAT_RESULTS, fault, _REMEDY)
        record = {**record, **{name: more[name] for name in _OF_RESULTS if name in more}}
    return {**found, "dermssl": {"peers": {}, "before": [], "figures": [], **record}}


def read_export(folder: Path) -> dict[str, Any]:
    """What an exported folder holds: timm's fields, and under ``dermssl`` the whole record.

    Raises:
        DermsslError: a file is missing or damaged, or the files are not of one export.
    """
    return read_files(folder / CONFIG_FILE, folder / RESULTS_FILE)


def divide(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record as its two parts: the ``dermssl`` block of ``config.json``, and the content of ``results.json``."""
    kept = {key: value for key, value in record.items() if key not in _OF_RESULTS}
    more = {key: record[key] for key in _OF_RESULTS if key in record}
    return kept, more


def write_results(folder: Path, more: dict[str, Any], identity: str | None) -> None:
    """Write ``results.json``.

    Args:
        folder: of the export.
        more: the second part that ``divide`` gives.
        identity: of the weights, as ``config.json`` has it.
    """
    head = {"format": _FORMAT, **({ID_FIELD: identity} if identity else {})}
    write_text(folder / RESULTS_FILE, json.dumps({**head, **more}, indent=1) + "\n")


def refuse_large(folder: Path) -> None:
    """Raises DermsslError where what was written as ``config.json`` is more than everybody should have to load."""
    length = (folder / CONFIG_FILE).stat().st_size
    if length > MOST_CONFIG_BYTES:
        raise DermsslError(
            f"{CONFIG_FILE} would have {length:,} bytes, and {MOST_CONFIG_BYTES:,} is the most: shorten --description "
            "and --attribution"
        )


def files_of(record: dict[str, Any]) -> tuple[str, ...]:
    """The names of an export's files: those that each has, and the figures of its card.

    Raises:
        DermsslError: a figure's name is a path; whoever wrote that wants another file to be pushed or removed.
    """
    names = tuple(record.get("figures", ()))
    for name in names:
        if not isinstance(name, str) or not is_picture_name(name):
            raise DermsslError(f"{RESULTS_FILE}: the figure {name!a} must be a picture beside it")
    return (*FILES, *dict.fromkeys(names))


def is_picture_name(name: str) -> bool:
    """Whether a figure may be called so: a picture's name, no path, nothing that does not print."""
    return Path(name).name == name and Path(name).suffix in PICTURES and printable(name) == name and "\\" not in name
