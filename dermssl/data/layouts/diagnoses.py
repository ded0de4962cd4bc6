"""The ISIC Archive's diagnoses: each entry of its hierarchy decided, others by their nearest known ancestor."""

import csv
from collections.abc import Sequence
from functools import cache
from importlib import resources


@cache
def decided() -> dict[tuple[str, ...], str | None]:
    """Levels of the hierarchy, lower case, without blank ones -> class; None where none of the classes fits.

    Source of the entries: ImageMarkup/isic-metadata, 562f25c.
    """
    file = resources.files(__package__) / "isic_diagnoses.csv"
    table: dict[tuple[str, ...], str | None] = {}
    for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
        levels = tuple(row[f"diagnosis_{n}"].lower() for n in range(1, 6) if row[f"diagnosis_{n}"])
        table[levels] = None if row["class"] == "unknown" else row["class"]
    return table


@cache
def _by_name() -> dict[str, set[str | None]]:
    names: dict[str, set[str | None]] = {}
    for levels, name in decided().items():
        names.setdefault(levels[-1], set()).add(name)
    return names


def is_named(text: str) -> bool:
    """Whether a text is the name of an entry, wherever in the hierarchy."""
    return len(_by_name().get(text.strip().lower(), ())) == 1


def class_of_name(text: str) -> str | None:
    """The class of an entry by its name alone; see `is_named`."""
    return next(iter(_by_name()[text.strip().lower()]))


def class_of_levels(levels: Sequence[str]) -> str | None:
    """The class of a diagnosis given from the coarsest level to the finest; None where none fits.

    A path that is not in the table is decided by its own last name, else by its nearest ancestor that is there.
    """
    path = tuple(" ".join(level.lower().split()) for level in levels if level.strip())
    table = decided()
    while path:
        if path in table:
            return table[path]
        if is_named(path[-1]):
            return class_of_name(path[-1])
        path = path[:-1]
    return None
