"""Which tables lie in a folder, and what those beside a ground truth say of its images."""

import re
import stat
from collections.abc import Iterable
from pathlib import Path

from dermssl.data.cache_files import is_cache
from dermssl.data.layouts.names import is_utf8, stem_of
from dermssl.data.layouts.table import SUFFIXES, Table, known, read_columns, read_table
from dermssl.data.records import Kind, Problem

# Columns that name an image, in the tables of the known sets and in people's own.
IDS = ("image", "image_id", "isic_id", "image_name", "img_id", "bcn_filename", "md5hash", "file_name", "filename")
LABELS = ("label", "class", "dx", "diagnosis", "diagnostic", "target", "category", "labels", "class_name")
# Columns of people's own tables, the first of them that is there: of the image, of its lesion, of its patient.
IMAGES = (
    "image",
    "file_name",
    "filename",
    "image_path",
    "img_path",
    "filepath",
    "image_name",
    "image_id",
    "img_id",
    "isic_id",
    "bcn_filename",
    "path",
    "file_path",
    "file",
    "img",
    "images",
)
LESIONS = ("group", "lesion_id", "lesion", "lesion_number", "lesion_no", "group_id", "groups")
PATIENTS = (
    "patient_id",
    "patient",
    "subject_id",
    "subject",
    "pid",
    "patient_number",
    "patient_no",
    "participant_id",
    "person_id",
    "case_id",
)


def column_of(columns: Iterable[str], names: Iterable[str]) -> str:
    """The column that has the first of these names, whatever its capitals, spaces and dashes; "" if none has one."""
    there = {_bare(column): column for column in reversed(list(columns))}
    return next((there[bare] for name in names if (bare := _bare(name)) in there), "")


def _bare(column: str) -> str:
    return re.sub(r"[ _.-]", "", column.lower())


def places(folder: Path) -> list[Path]:
    """``folder`` and the folders in it that may hold tables: the challenges' archives unpack into one each."""
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [folder, *(path for path in below if is_utf8(path.name) and not is_cache(path))]


def tables_in(folder: Path) -> list[Path]:
    """The files in ``folder`` itself that are tables by their names, sorted."""
    return [path for path in _named_like_tables(folder) if path.is_file()]


def special_files(folder: Path) -> list[Problem]:
    """What is named like a table and is not a file: a FIFO, a socket, a link that leads nowhere."""
    return [
        Problem(path.name, f"not read: {_what(path)}, not a file", Kind.NOT_READ)
        for path in _named_like_tables(folder)
        if is_utf8(path.name) and not path.is_file()
    ]


def _named_like_tables(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if (path.suffix.lower() in SUFFIXES or path.name == "HAM10000_metadata") and not path.name.startswith(".")
    ]


def _what(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a link that leads nowhere"
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")


def names_lesions(path: Path) -> bool:
    """Whether a table says which lesion an image shows, as those do that go with the truth of ISIC 2018 and 2019."""
    return {"image", "lesion_id"} <= set(read_columns(path))


def tables_below(folder: Path) -> list[Path]:
    """The tables in ``folder`` and one level below it."""
    return [path for where in places(folder) for path in tables_in(where) if is_utf8(path.name)]


def tables_near(folder: Path, table: Path) -> list[Path]:
    """The other tables beside ``table``, in ``folder`` and one level below it."""
    around = [table.parent, *places(folder)]
    if table.parent.name.lower().endswith("groundtruth"):  # the challenges' archives: the tables lie side by side
        around += [table.parent.parent]
    found = dict.fromkeys(path for where in dict.fromkeys(around) for path in tables_in(where))
    return [path for path in found if path != table and is_utf8(path.name)]


def find_beside(table: Path, folder: Path, columns: set[str]) -> Path | None:
    """The first table beside ``table`` that has these columns."""
    return next((path for path in tables_near(folder, table) if columns <= set(read_columns(path))), None)


def lesions_beside(folder: Path, truth: Table) -> tuple[dict[str, tuple[str | None, dict[str, str]]], list[str]]:
    """Image -> (lesion, further columns), and the names of the tables that say so.

    All tables of lesions near the truth are joined, since those of ISIC 2018 and 2019 may lie side by side; where
    two know the same image, the one counts that names more of the truth's images.
    """
    wanted = {stem_of(row["image"].strip()) for row in truth.rows}
    tables = []
    for path in tables_near(folder, truth.path):
        if not names_lesions(path):
            continue
        table = read_table(path)
        rows = {
            stem_of(row["image"].strip()): (known(row["lesion_id"]), table.further(row, "image", "lesion_id"))
            for row in table.rows
        }
        tables.append((path.name, rows))
    tables.sort(key=lambda table: -len(wanted & table[1].keys()))
    joined: dict[str, tuple[str | None, dict[str, str]]] = {}
    for _, rows in tables:
        for image, (lesion, extra) in rows.items():
            first, columns = joined.get(image, (None, {}))
            joined[image] = first or lesion, {**columns, **extra, **columns}
    return joined, [name for name, _ in tables]
