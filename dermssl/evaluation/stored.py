"""A report as it lies on disk: read, and refused where it is damaged or something else."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dermssl.errors import DermsslError

MOST_BYTES = 100_000_000  # a report of a hundred classes has a few hundred kB


def read_report(file: Path) -> dict[str, Any]:
    """The fields of a report from its JSON, with NaN where it holds null.

    Raises:
        DermsslError: the file is missing, or is no report, or a part of it is damaged; names that part.
    """
    values = _read(file)
    missing = [name for name in _FIELDS if name not in values and name not in _OPTIONAL]
    if missing:
        raise DermsslError(f"{file}: not a report of an evaluation; it lacks {', '.join(sorted(missing))}")
    result = {}
    for name, read in _FIELDS.items():
        if name not in values:
            continue
        try:
            result[name] = read(values[name])
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DermsslError(
                f"{file}: its {name!r} is damaged ({error or type(error).__name__}); evaluate again, or take a copy"
            ) from error
    return result


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.exists() and not file.is_file():
            raise ValueError("not a file")
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES // 10**6} MB")
        values = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, RecursionError) as error:
        raise DermsslError(f"{file}: cannot be read as a report of an evaluation ({error})") from error
    return values


def _is(kind: type | tuple[type, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{type(value).__name__} where {getattr(kind, '__name__', kind)} belongs")
        return value

    return read


def _number(value: Any) -> Any:
    """A figure; null was NaN."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r:.40} where a number belongs")
    return value


def _numbers(values: Any) -> dict[str, Any]:
    return {name: _number(value) for name, value in _is(dict)(values).items()}


def _edges(values: Any) -> dict[str, tuple[float, float]]:
    result = {}
    for name, edges in _is(dict)(values).items():
        low, high = _is(list)(edges)
        result[name] = (_number(low), _number(high))
    return result


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(_is(str)(value) for value in _is(list)(values))


def _subgroups(values: Any) -> dict[str, list[dict[str, Any]]]:
    return {
        column: [
            {
                **row,
                "value": _is(str)(row["value"]),
                **{name: _is(int)(row[name]) for name in ("images", "groups", "classes")},
                "metrics": _numbers(row["metrics"]),
                "interval": _edges(row["interval"]),
            }
            for row in map(_is(dict), _is(list)(rows))
        ]
        for column, rows in _is(dict)(values).items()
    }


def _texts_by_name(values: Any) -> dict[str, str]:
    return {name: _is(str)(value) for name, value in _is(dict)(values).items()}


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "kind": _is(str),
    "weights": _is(str),
    "data": _is(str),
    "protocol": _is(dict),
    "classes": _texts,
    "metrics": _numbers,
    "std": _numbers,
    "interval": _edges,
    "majority_accuracy": _number,
    "per_class": lambda values: {name: _numbers(figures) for name, figures in _is(dict)(values).items()},
    "confusion": lambda rows: [[_is(int)(cell) for cell in _is(list)(row)] for row in _is(list)(rows)],
    "folds": lambda folds: [_numbers(fold) for fold in _is(list)(folds)],
    "records": _is(dict),
    "split": _is(dict),
    "by": _subgroups,
    "notes": _texts,
    "versions": _texts_by_name,
}
_OPTIONAL = {"by"}  # 0.1.0 wrote none
