"""Rows of a CSV file that every reader takes for as many rows, whatever stands in their cells."""

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO


def write_rows(file: TextIO, rows: Iterable[Sequence[object]]) -> None:
    r"""Write rows that end in ``\n``.

    Python before 3.13 leaves a cell with ``\r`` (a name of a file or of a class may hold one) without quotes, and
    readers, its own too, then take it for the end of the row.
    """
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)
