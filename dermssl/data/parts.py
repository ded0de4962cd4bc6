"""The division that the data brings along: train, val and test."""

import re
from collections.abc import Sequence

import numpy as np

from dermssl.data.layouts.table import known
from dermssl.errors import DermsslError

PARTS = ("train", "val", "test")
COLUMN = "split"  # of the records' attributes; folders of these names fill it too
_SPELLINGS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}

_ENDS = re.compile(r"(sets?|data|images?|imgs?|folder)$")


def parts_of(column: Sequence[str], source: str) -> np.ndarray:
    """(N,) which of ``PARTS`` each image is in; "" where the column says nothing.

    Args:
        column: (N,) as the data spells them.
        source: how messages call the data.

    Raises:
        DermsslError: a value is none of the known spellings.
    """
    values = np.array([_plain(value) for value in column], dtype=object)
    unknown = sorted({value for value in values if value and value not in _SPELLINGS})
    if unknown:
        raise DermsslError(
            f"--split given: the column {COLUMN!r} of {source} holds {', '.join(map(repr, unknown[:5]))}; "
            f"it must say {', '.join(PARTS)} (or nothing) for each image"
        )
    return np.array([_SPELLINGS.get(value, "") for value in values], dtype=str)


def part_of(name: str) -> str:
    """The part that the name of a folder or table says, ``train`` of ``my_training_set``; "" if none or several."""
    words = [_ENDS.sub("", word) for word in re.split(r"[^a-z]+", name.lower())]
    found = {_SPELLINGS[word] for word in words if word in _SPELLINGS}
    return found.pop() if len(found) == 1 else ""


def spelled(column: Sequence[str]) -> tuple[str, ...]:
    """The column with ``training`` as train and so on; as it is where a value is none of the known spellings."""
    values = [_plain(value) for value in column]
    return tuple(_SPELLINGS.get(v, "") for v in values) if {*values} <= {*_SPELLINGS, ""} else tuple(column)


def _plain(value: str) -> str:
    """In small letters; "" where a table says in one way or another, such as pandas's nan, that it says nothing."""
    return (known(value) or "").lower()
