"""A report as it lies on disk: read, and refused where it is damaged or something else."""

import math
from pathlib import Path
from typing import Any

from dermssl.documents import read_json
from dermssl.evaluation.metrics import METRICS

_FIGURE = (float, None)
_FIGURES = {str: _FIGURE}
_SCHEMA = {
    "kind": str,
    "weights": str,
    "data": str,
    "protocol": dict,
    "classes": [str],
    "metrics": _FIGURES,
    "std": _FIGURES,
    "interval": {str: [(float, None)]},
    "majority_accuracy": (float, None),
    "per_class": {str: {"precision": _FIGURE, "recall": _FIGURE, "f1": _FIGURE, "auroc": _FIGURE, "support": int}},
    "confusion": [[int]],
    "folds": [_FIGURES],
    "records": dict,
    "split": dict,
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
_UNKNOWN = dict.fromkeys(METRICS, math.nan)
_MOST_BYTES = 2**26  # a report of a hundred classes has a few hundred kB


def read_report(file: Path) -> dict[str, Any]:
    """The fields of a report from its JSON, with NaN where it holds null, or nothing of a metric.

    Raises:
        DermsslError: the file is missing, or is not a report, or a part of it is damaged; names that part.
    """
    values = read_json(
        file,
        "the report of an evaluation",
        _SCHEMA,
        remedy="name what --json or Report.save wrote, or evaluate again",
        max_bytes=_MOST_BYTES,
    )
    known = {name.removesuffix("?") for name in _SCHEMA}
    values = {name: value for name, value in values.items() if name in known}
    values["classes"], values["notes"] = tuple(values["classes"]), tuple(values["notes"])
    values["majority_accuracy"] = _number(values["majority_accuracy"])
    for name in ("metrics", "std"):
        values[name] = _UNKNOWN | _numbers(values[name])
    values["interval"] = dict.fromkeys(METRICS, (math.nan, math.nan)) | _edges(values["interval"])
    values["per_class"] = {name: _numbers(figures) for name, figures in values["per_class"].items()}
    values["folds"] = [_numbers(fold) for fold in values["folds"]]
    values["by"] = {
        column: [{**row, "metrics": _numbers(row["metrics"]), "interval": _edges(row["interval"])} for row in rows]
        for column, rows in values.get("by", {}).items()
    }
    return values


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {name: _number(value) for name, value in values.items()}


def _edges(values: dict[str, list[float | None]]) -> dict[str, tuple[float, float]]:
    """Low and high; an interval that has not exactly two ends says nothing."""
    ends = {name: [_number(edge) for edge in edges] for name, edges in values.items()}
    return {name: (edges[0], edges[1]) if len(edges) == 2 else (math.nan, math.nan) for name, edges in ends.items()}
