"""What a layout is: how its table is recognised, how it is read, and whose images they are."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dermssl.data.layouts.found import Files, Found, Row
from dermssl.data.layouts.names import SHORTENED, stem_of
from dermssl.data.layouts.table import Table, known
from dermssl.data.records import Kind, Problem
from dermssl.errors import DermsslError

# Where people keep photographs, whatever the set.
FOLDERS = re.compile(
    r"(ham10000|isic|isbi|bcn|milk)[ _-]?\w*(images?|input|data)(_part_\d+)?|images?|imgs?|jpe?gs?|photos?",
    re.IGNORECASE,
)


OUTSIDE = "have a diagnosis outside the known classes"  # what `read_rows` says of such rows


@dataclass(frozen=True)
class DataSet:
    """A published set of images.

    Attributes:
        name: as its authors write it.
        tag: short, for front matter and the name of a set of weights.
        license: the Hub's name of its licence.
        attribution: what its licence asks to be said, one entry per source.
    """

    name: str
    tag: str
    license: str
    attribution: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """One way in which images and a table lie on the disk.

    Attributes:
        name: how records and logs call it.
        fits: whether a table is of this layout, by its file name and its column names.
        read: the rows of a table, with the files below the folder.
        dataset: whose images they are, if that follows from the layout.
        table: the name of its table, as the download has it: preferred over others that fit.
        below: whether the table may lie in a folder of its own beside the images.
        classes: the columns that say the class, where the id's column alone tells the layout. Without any of them, a
            table with a class column of its own is somebody's own, and read as a plain CSV.
    """

    name: str
    fits: Callable[[Path, frozenset[str]], bool]
    read: Callable[[Table, Files], Found]
    dataset: DataSet | None = None
    table: str = ""
    below: bool = True
    classes: frozenset[str] = frozenset()


@dataclass
class Line:
    """What a table says of one image, before its file is known."""

    image: str
    label: str | None = None
    lesion: str | None = None
    patient: str | None = None
    further: dict[str, str] = field(default_factory=dict)


def match(layout: str, table: Table, files: Files, lines: Iterable[Line], *, left_out: Iterable[str] = ()) -> Found:
    """Find the file of each id anywhere below the folder; report ids without files and files without ids.

    Args:
        left_out: ids of images that the reader does not take, and has said so.
    """
    found = Found(layout, files.folder, [], [*table.problems, *files.problems])
    named = {stem_of(image) for image in left_out}
    for line in lines:
        image = line.image.strip()
        named.add(stem_of(image))
        path, problem = files.take(image, FOLDERS)
        if problem:
            found.problems.append(problem)
        if path:
            row = Row(image, path, line.label, known(line.lesion), known(line.patient), line.further)
            found.rows.append(row)
        elif not problem:
            found.problems.append(missing(image, table.path.name))
    for path in files.unnamed(named):
        reason = f"not in any row of {table.path.name}: left out"
        found.problems.append(Problem(files.relative(path), reason, Kind.NO_ROW))
    return found


def missing(image: str, table: str) -> Problem:
    """The problem of an id without a file."""
    reason = f"named in {table}, but there is no such file"
    if SHORTENED.fullmatch(image):
        reason += ": a spreadsheet has shortened the number; format the column as text before you save it"
    return Problem(image, reason, Kind.MISSING_FILE)


def read_rows(
    layout: str,
    table: Table,
    files: Files,
    *,
    image: str,
    decide: Callable[[dict[str, str]], tuple[str | None, bool]],
    odd: str,
    used: tuple[str, ...] = (),
) -> Found:
    """A table with one row per image, and its lesion and patient in the columns that nearly all sets call alike.

    Args:
        image: column of the ids.
        decide: from a row to its class (None = unknown), and whether it is one of those that ``odd`` speaks of.
        odd: what is said of the rows without a clear class.
        used: columns that are not kept as attributes, besides those of id, lesion and patient.
    """
    lines, count = [], 0
    for row in table.rows:
        label, is_odd = decide(row)
        count += is_odd
        further = table.further(row, image, "lesion_id", "patient_id", *used)
        lines.append(Line(row[image], label, row.get("lesion_id"), row.get("patient_id"), further))
    found = match(layout, table, files, lines)
    found.problems += unclear(table, count, odd)
    return found


def unclear(table: Table, count: int, what: str) -> list[Problem]:
    """A problem that says how many rows have no class, if any do."""
    return [Problem(table.path.name, f"{count:,} rows {what}: label unknown", Kind.LABEL)] if count else []


def number(text: str, table: Table, column: str) -> float:
    """The 0 or 1 in a cell, also with a decimal comma; a blank one is 0."""
    try:
        return float(text.replace(",", ".") or 0)
    except ValueError as error:
        raise DermsslError(f"{table.path}: column {column!r} holds {text!r}, where 0 or 1 is expected") from error
