"""A report as it lies on disk: read, and refused where it is damaged or something else."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dermssl.documents import damaged, read_json
from dermssl.evaluation.metrics import METRICS
from dermssl.evaluation.subgroups import SHOWN

_WHAT = "the report of an evaluation"
COUNTS = ("groups", "groups_repeated", "groups_cut", "groups_cut_by_plain_split")  # of its split, where it has them
_FIGURE = (float, None)
_FIGURES: dict[Any, Any] = {str: _FIGURE}
_SCHEMA = {
    "kind": str,
    "weights": str,
    "data": str,
    "protocol": dict,
    "classes": [str],
    "metrics": {"accuracy": float, **_FIGURES},
    "std": _FIGURES,
    "interval": {str: [(float, None)]},
    "majority_accuracy": float,
    "per_class": {str: {"precision": _FIGURE, "recall": _FIGURE, "f1": _FIGURE, "auroc": _FIGURE, "support": int}},
    "confusion": [[int]],
    "folds": [{"fold": int, "train_images": int, "test_images": int, **_FIGURES}],
    "records": {"train?": (dict, None), "test?": (dict, None)},
    "split": {f"{name}?": (int, None) for name in COUNTS},
    "by?": {
        str: [
            {
                "value": str,
                "images": int,
                "groups": int,
                "classes": int,
                "metrics": _FIGURES,
                "interval": {str: [(float, None)]},
                "note": (str, None),
            }
        ]
    },
    "notes": [str],
    "versions": {str: str},
    "weights_sha256?": str,
}
_NO_EDGES = (math.nan, math.nan)
_AGAIN = "name what --json or Report.save wrote, or evaluate again"
_MOST_BYTES = 2**26  # a report of a hundred classes has a few hundred kB


def read_report(file: Path) -> dict[str, Any]:
    """The fields of a report from its JSON, with NaN where it holds null, or nothing of a metric.

    Fields and metrics of a later version are left out.

    Raises:
        DermsslError: the file is missing, or is not a report, or a part of it is damaged; names that part.
    """
    values = read_json(file, _WHAT, _SCHEMA, remedy=_AGAIN, max_bytes=_MOST_BYTES)
    known = {name.removesuffix("?") for name in _SCHEMA}
    values = {name: value for name, value in values.items() if name in known}
    values["classes"], values["notes"] = tuple(values["classes"]), tuple(values["notes"])
    _refuse_other_classes(file, values)
    for name in ("metrics", "std"):
        values[name] = _told(_numbers(values[name]), METRICS, math.nan)
    values["interval"] = _told(_edges(values["interval"]), METRICS, _NO_EDGES)
    values["per_class"] = {name: _numbers(figures) for name, figures in values["per_class"].items()}
    values["folds"] = [_numbers(fold) for fold in values["folds"]]
    values["by"] = {column: [_subgroup(row) for row in rows] for column, rows in values.get("by", {}).items()}
    return values


def _refuse_other_classes(file: Path, values: dict[str, Any]) -> None:
    """Raises DermsslError unless the parts of a report are of the same classes."""
    classes, confusion = values["classes"], values["confusion"]
    if sorted(values["per_class"]) != sorted(classes):
        raise damaged(file, _WHAT, "per_class is of other classes than classes", _AGAIN)
    if [len(row) for row in confusion] != [len(classes)] * len(classes):
        raise damaged(file, _WHAT, f"confusion is not of {len(classes)} classes", _AGAIN)


def _subgroup(row: dict[str, Any]) -> dict[str, Any]:
    metrics, edges = _numbers(row["metrics"]), _edges(row["interval"])
    return {**row, "metrics": _told(metrics, SHOWN, math.nan), "interval": _told(edges, SHOWN, _NO_EDGES)}


def _told(values: dict[str, Any], names: Iterable[str], unknown: Any) -> dict[str, Any]:
    """The values of all ``names``, in their order, and no others."""
    return {name: values.get(name, unknown) for name in names}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {name: _number(value) for name, value in values.items()}


def _edges(values: dict[str, list[float | None]]) -> dict[str, tuple[float, float]]:
    """Low and high; an interval that has not exactly two ends says nothing."""
    ends = {name: [_number(edge) for edge in edges] for name, edges in values.items()}
    return {name: (edges[0], edges[1]) if len(edges) == 2 else _NO_EDGES for name, edges in ends.items()}
