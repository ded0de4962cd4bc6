"""Which images belong together: groups, and what joins two of them."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from dermssl.documents import unreadable
from dermssl.errors import DermsslError
from dermssl.regular import read_regular

MOST_BYTES = 200_000_000  # of a table of pairs; ten million lines


def joined(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """The group of each image once the images of every pair are in one group.

    Args:
        groups: (N,) the name of each image's group.
        pairs: rows of two images that belong together.

    Returns:
        (N,) names; a joined group has the name that occurs first in ``groups``.
    """
    first: dict[str, int] = {}
    for row, name in enumerate(groups):
        first.setdefault(name, row)
    parent = {row: row for row in first.values()}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in pairs:
        a, b = root(first[groups[one]]), root(first[groups[other]])
        parent[max(a, b)] = min(a, b)
    return tuple(groups[root(first[name])] for name in groups)


def copies(hashes: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of rows whose files hold the same bytes: each with the first such row. ("" is a file without a hash.)"""
    first: dict[str, int] = {}
    pairs = [(first[digest], row) for row, digest in enumerate(hashes) if first.setdefault(digest, row) != row]
    return [pair for pair in pairs if hashes[pair[0]]]


def read_pairs(path: str | Path, ids: Sequence[str]) -> tuple[list[tuple[int, int]], int]:
    """The pairs of images that the first two columns of a CSV name.

    Args:
        path: with a header or without; ``pairs.csv`` of ``dermssl leakage`` is such a file.
        ids: (N,) names of the images. A name in the table may or may not have a suffix (.jpg).

    Returns:
        pairs of rows of ``ids`` (all of them where a name occurs twice), and how many pairs of the table name an
        image that is not there.

    Raises:
        DermsslError: the file cannot be read, has one column only, or names none of the images.
    """
    path = Path(path)
    try:
        text = io.StringIO(read_regular(path, MOST_BYTES).decode("utf-8-sig"), newline="")
        rows = [row for row in csv.reader(text) if any(cell.strip() for cell in row)]
    except FileNotFoundError as error:
        raise DermsslError(f"--join {path}: no such file; give a CSV whose first two columns name images") from error
    except OSError as error:
        raise unreadable(f"--join {path}", error, "give a CSV whose first two columns name images") from error
    except (ValueError, csv.Error) as error:
        raise DermsslError(f"--join {path}: cannot be read as a CSV ({error}); save it as CSV in UTF-8") from error
    if not rows or min(len(row) for row in rows) < 2:
        raise DermsslError(f"--join {path}: needs two columns that name images; the lines of {path.name} have fewer")
    places = _places(ids)
    found: list[tuple[int, int]] = []
    missing = 0
    for number, row in enumerate(rows):
        one, other = (places.get(_plain(cell), []) for cell in row[:2])
        if one and other:
            found += [(a, b) for a in one for b in other if a != b]
        elif number or one or other:  # a first line that names no image at all is the header
            missing += 1
    if not found and not missing:
        raise DermsslError(f"--join {path}: holds no pairs")
    if not found:
        raise DermsslError(
            f"--join {path}: none of its {missing} pairs names two images of the data, e.g. "
            f"{rows[-1][0]!r} and {rows[-1][1]!r}; the data has names such as {ids[0]!r}"
        )
    return found, missing


def _places(ids: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        places.setdefault(_plain(name), []).append(row)
    return places


def _plain(name: str) -> str:
    """The name without its suffix, if that is one of an image."""
    name = name.strip()
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in ("jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp") else name
