"""Results by subgroup: is a model as good for the old as for the young, on one camera as on another?"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from dermssl.errors import DermsslError
from dermssl.evaluation import metrics as m
from dermssl.evaluation.intervals import intervals_of
from dermssl.evaluation.labelled import LabelledImages
from dermssl.evaluation.predictions import Predictions
from dermssl.tables import percent

SHOWN = ("accuracy", "balanced_accuracy")
LEAST_GROUPS = 20  # lesions (or images, where each stands alone); a figure of fewer is one of chance
MOST_VALUES = 40  # a column with more, unless they are numbers, does not name subgroups
AGES = ((0, 30, "under 30"), (30, 45, "30 to 44"), (45, 60, "45 to 59"), (60, 75, "60 to 74"), (75, 150, "75 and over"))
NOT_GIVEN = "not given"
_MISSING = {"", "nan", "na", "n/a", "none", "null", "unknown", "unk", "-1", "-1.0"}
_FEW_NUMBERS = 12  # a column of numbers with no more of them names subgroups by itself, such as a skin type


def check_columns(by: str | Sequence[str] | None, data: LabelledImages, option: str = "DATA") -> tuple[str, ...]:
    """The columns that ``--by`` names.

    Args:
        by: names, or one text with commas between them.
        data: the images that will be tested.

    Raises:
        DermsslError: the data has no such column, or its values are too many to be subgroups.
    """
    names = [name.strip() for name in by.split(",")] if isinstance(by, str) else list(by or ())
    for name in names:
        if not isinstance(name, str):
            raise DermsslError(f"--by {name!r}: must be the name of a column")
    names = list(dict.fromkeys(name for name in names if name))
    known = {name.lower(): name for name in data.attributes}
    for name in names:
        if name.lower() not in known:
            there = f"it has {', '.join(data.attributes)}" if data.attributes else "it has none"
            raise DermsslError(f"--by {name}: {option} {data.source} has no such column; {there}")
    columns = tuple(known[name.lower()] for name in names)
    for column in columns:
        values = np.unique(subgroups(column, data.attributes[column]))
        if len(values) > MOST_VALUES:
            raise DermsslError(
                f"--by {column}: has {len(values)} different values, e.g. {values[0]!r}; name a column of at most "
                f"{MOST_VALUES}"
            )
    return columns


def by_subgroup(
    predictions: Predictions, columns: dict[str, np.ndarray], *, resamples: int
) -> dict[str, list[dict[str, Any]]]:
    """The figures of each subgroup, from the answers of all folds together.

    Args:
        predictions: the answers, N of them.
        columns: name -> (N,) the value of each image, as the data has it.
        resamples: of the bootstrap, over groups.

    Returns:
        column -> for each of its subgroups ``value``, ``images``, ``groups``, ``classes`` (how many occur),
        ``metrics`` and ``interval`` of ``SHOWN``, NaN with a ``note`` where there are fewer than ``LEAST_GROUPS``.
    """
    return {
        column: [
            {"value": value, **_figures(predictions.select(np.flatnonzero(found == value)), resamples)}
            for value in _in_order(column, found)
        ]
        for column, found in ((name, subgroups(name, values)) for name, values in columns.items())
    }


def subgroups(column: str, values: np.ndarray) -> np.ndarray:
    """(N,) the subgroup of each value: ages and other numbers in bins, everything else by itself."""
    texts = np.array([str(value).strip() for value in values], dtype=object)
    given = np.array([text.lower() not in _MISSING for text in texts], dtype=bool)
    result = np.array([text if ok else NOT_GIVEN for text, ok in zip(texts, given, strict=True)], dtype=object)
    numbers = _numbers(texts[given])
    if numbers is None:
        return result
    if _is_age(column):
        named = [next((name for low, high, name in AGES if low <= n < high), NOT_GIVEN) for n in numbers]
        result[given] = named
    elif len(np.unique(numbers)) > _FEW_NUMBERS:
        edges = np.unique(np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
        place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
        result[given] = [f"{edges[i]:g} to {edges[i + 1]:g}" for i in place]
    else:
        result[given] = [f"{number:g}" for number in numbers]
    return result


def _figures(chosen: Predictions, resamples: int) -> dict[str, Any]:
    groups = len(np.unique(chosen.groups))
    about = {"images": len(chosen), "groups": groups, "classes": len(np.unique(chosen.labels))}
    if groups < LEAST_GROUPS:
        nothing = dict.fromkeys(SHOWN, math.nan)
        note = f"fewer than {LEAST_GROUPS} lesions"
        return {
            **about,
            "metrics": nothing,
            "interval": dict.fromkeys(SHOWN, (math.nan, math.nan)),
            "note": note,
        }
    values = m.classification_metrics(chosen.labels, chosen.probabilities, chosen.classes, chosen.predictions)
    edges = intervals_of(chosen.in_one_fold(), values, resamples=resamples)
    return {
        **about,
        "metrics": {name: values[name] for name in SHOWN},
        "interval": {name: edges[name] for name in SHOWN},
        "note": None,
    }


def _in_order(column: str, found: np.ndarray) -> list[str]:
    """The subgroups in the order of a reader: bins and numbers rising, names by the alphabet, the unknown last."""
    names = [name for *_, name in AGES] if _is_age(column) else []

    def place(value: str) -> tuple[Any, ...]:
        start = re.match(r"-?[\d.]+", value)
        number = float(names.index(value)) if value in names else _float(start.group()) if start else math.inf
        return value == NOT_GIVEN, number, value

    return sorted(set(found.tolist()), key=place)


def _is_age(column: str) -> bool:
    return "age" in re.split(r"[^a-z]+", column.lower())


def _numbers(texts: np.ndarray) -> np.ndarray | None:
    """The texts as finite numbers; None if one of them is none, or there are none."""
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return None
    return numbers if len(numbers) and np.isfinite(numbers).all() else None


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf


def subgroup_table(column: str, rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a column's subgroups, in per cent, for a Markdown table or a page.

    Args:
        rows: as `by_subgroup` gives them, or as they are read from JSON, where NaN is None.
    """
    header = [f"{column}, %", "images", "lesions", "classes"]
    header += [title for name in SHOWN for title in (m.TITLES[name], "95 % interval")]
    body = []
    for row in rows:
        cells = [str(row["value"]), *(f"{row[key]:,}" for key in ("images", "groups", "classes"))]
        for name in SHOWN:
            value = row["metrics"][name]
            if value is None or math.isnan(value):
                cells += ["too few" if row.get("note") else "-", ""]
            else:
                edges = (math.nan if edge is None else edge for edge in row["interval"][name])
                cells += [percent(value), " to ".join(map(percent, edges))]
        body.append(cells)
    return header, body
