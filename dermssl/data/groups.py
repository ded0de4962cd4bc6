"""Which images belong together: groups, and what joins two of them."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dermssl.data.layouts.names import stem_of, without_suffix
from dermssl.data.layouts.table import decoded, separator
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
    """The pairs of images that the first two columns of a table name.

    Args:
        path: with a header or without, in any encoding or separator; ``pairs.csv`` of ``dermssl leakage`` is such a
            file.
        ids: (N,) names of the images. A name in the table may or may not have a suffix (.jpg), and more or fewer
            folders, as long as only one image can be meant.

    Returns:
        pairs of rows of ``ids`` (all of them where a name occurs twice), and how many pairs of the table name an
        image that is not there.

    Raises:
        DermsslError: the file cannot be read, has one column only, or names none of the images.
    """
    path = Path(path)
    try:
        text, _ = decoded(read_regular(path, MOST_BYTES))
    except FileNotFoundError as error:
        raise DermsslError(f"--join {path}: no such file; give a CSV whose first two columns name images") from error
    except OSError as error:
        raise unreadable(f"--join {path}", error, "give a CSV whose first two columns name images") from error
    if text is None:
        raise DermsslError(f"--join {path}: is no table of text; give a CSV whose first two columns name images")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator(text.lstrip().partition("\n")[0]))
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DermsslError(f"--join {path}: cannot be read as a CSV ({error}); save it as CSV in UTF-8") from error
    if not rows or min(len(row) for row in rows) < 2:
        raise DermsslError(f"--join {path}: needs two columns that name images; the lines of {path.name} have fewer")
    rows_of = _finder(ids)
    found: list[tuple[int, int]] = []
    missing = 0
    for number, row in enumerate(rows):
        one, other = map(rows_of, row[:2])
        if one and other:
            found += [(a, b) for a in one for b in other if a != b]
        elif number or one or other:  # a first line that names no image at all is the header
            missing += 1
    if not found and not missing:
        if [cell.strip() for cell in rows[0][:2]] == ["first", "second"]:  # of `leakage`, where it found no pair
            return [], 0
        head = ", ".join(rows[0][:2])
        raise DermsslError(f"--join {path}: holds no pairs; a first line that names no image ({head}) is its header")
    if not found:
        raise DermsslError(
            f"--join {path}: none of its {missing} pairs names two images of the data, e.g. "
            f"{rows[-1][0]!r} and {rows[-1][1]!r}; the data has names such as {ids[0]!r}"
        )
    return found, missing


def _finder(ids: Sequence[str]) -> Callable[[str], list[int]]:
    """From a name, with more folders or fewer than ``ids`` have, to the rows of the one image that it can mean."""
    places: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        places.setdefault(without_suffix(name), []).append(row)
    alike: dict[str, list[str]] = {}
    for whole in places:
        alike.setdefault(stem_of(whole), []).append(whole)

    def rows_of(text: str) -> list[int]:
        name = without_suffix(text)
        if name in places:
            return places[name]
        meant = [
            whole
            for whole in alike.get(stem_of(name), ())
            if f"/{whole}".endswith(f"/{name}") or f"/{name}".endswith(f"/{whole}")
        ]
        return places[meant[0]] if len(meant) == 1 else []

    return rows_of
