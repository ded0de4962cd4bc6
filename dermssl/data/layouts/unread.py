"""What is said of the tables of a folder that are not read."""

from pathlib import Path

from dermssl.data.layouts.beside import IDS, LABELS, LESIONS, PATIENTS, names_lesions, places, special_files, tables_in
from dermssl.data.layouts.found import Found
from dermssl.data.layouts.names import NOT_UTF8, id_in_cell, is_utf8, printable, stem_of
from dermssl.data.layouts.plain import LAYOUT as CSV
from dermssl.data.layouts.registry import layout_of
from dermssl.data.layouts.table import read_columns, read_table
from dermssl.data.parts import COLUMN
from dermssl.data.records import Kind, Problem
from dermssl.errors import DermsslError

_WANTED = {*LABELS, *LESIONS, *PATIENTS, COLUMN}
_NO_TABLES = dict.fromkeys(
    (".xlsx", ".xlsm", ".xls", ".ods", ".numbers"), "a spreadsheet; save it as CSV (each sheet by itself)"
)
_PERHAPS = dict.fromkeys((".json", ".xml", ".yaml", ".yml"), "if it holds labels, write a CSV with image,label,group")


def tables_not_read(folder: Path, found: Found, read: set[Path], chosen: Path | None = None) -> list[Problem]:
    """The tables that could have said more about the images of ``found``; those with nothing to say are not named."""
    problems = [problem for where in places(folder) for problem in special_files(where)]
    images = {stem_of(row.id) for row in found.rows} | {stem_of(row.path.name) for row in found.rows}
    for where in places(folder):
        for path in [path for path in tables_in(where) if path not in read]:
            reason = _why_not_read(path, where == folder, chosen, found, images)
            if reason:
                problems.append(_not_read(path, folder, reason))
        others = _NO_TABLES if any(row.label for row in found.rows) else _NO_TABLES | _PERHAPS
        problems += [
            _not_read(path, folder, others[path.suffix.lower()])
            for path in sorted(where.iterdir())
            if path.suffix.lower() in others and path.is_file() and not path.name.startswith((".", "~$"))
        ]
    return problems


def _not_read(path: Path, folder: Path, reason: str) -> Problem:
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    return Problem(printable(name), f"not read: {reason}", Kind.NOT_READ)


def _why_not_read(path: Path, top: bool, chosen: Path | None, found: Found, images: set[str]) -> str | None:
    if not is_utf8(path.name):
        return NOT_UTF8
    columns = read_columns(path)
    text = path.suffix.lower() == ".txt"
    if not columns:
        return None if text else "it is not a table with names of columns" if path.stat().st_size else "it is empty"
    has_lesions = names_lesions(path)
    if has_lesions and found.layout in ("isic 2018", "isic 2019"):  # read, with the truth
        return None
    layout = layout_of(path, columns)
    if layout is CSV and not top:
        where = "several CSVs lie below the folder: put the one you mean into it"
        return where if chosen is None else None
    if layout:
        return f"{chosen.name} was; name the file itself to use it" if chosen else None
    if has_lesions:
        grouped = any(row.lesion or row.patient for row in found.rows)
        reason = "no column 'label', so its lesions are not used; add one, or name the file itself to do without labels"
        return None if grouped or chosen else reason
    try:
        rows = read_table(path).rows[:200]
    except DermsslError as error:  # beside a table that was read it matters to nobody
        return str(error) if chosen is None and not text else None
    return _names_pairs(columns, rows, images) or (_names_images(columns, rows, images) if chosen is None else None)


def _names_pairs(columns: tuple[str, ...], rows: list[dict[str, str]], images: set[str]) -> str | None:
    """What is said of a table of pairs, such as ISIC 2020's of duplicates and the pairs.csv of `leakage`."""
    if len(columns) < 2 or not all(columns[:2]):
        return None
    pairs = [[id_in_cell(row[name]) for name in columns[:2]] for row in rows]
    if sum(one in images and other in images and one != other for one, other in pairs) <= len(rows) / 2:
        return None
    return "it names pairs of images: give it to --join of an evaluation, which keeps each pair in one fold"


def _names_images(columns: tuple[str, ...], rows: list[dict[str, str]], images: set[str]) -> str | None:
    """Why a table of unknown columns was not read, if it speaks of the images at all."""
    for name in columns:
        if any(id_in_cell(row[name]) in images for row in rows):
            if name in IDS and not _WANTED & set(columns):
                continue  # an age, a site: nothing that an evaluation needs
            return (
                f"its column {name!r} names the images, but no layout has its columns ({', '.join(columns)}); "
                "call them image, label and group"
            )
    return None
