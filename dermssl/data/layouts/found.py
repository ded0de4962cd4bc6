"""What a layout reader hands back, and the two things all readers do: list image files, read tables."""

import csv
import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dermssl.data.formats import READABLE
from dermssl.data.records import Problem
from dermssl.errors import DermsslError

_SUFFIXES = "jpg jpeg jpe jfif png bmp dib tif tiff webp gif ppm pgm pnm jp2 mpo"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split()) | READABLE
# The ISIC challenges ship masks beside the photographs, under these names; nobody wants to pretrain on them.
_MASK = re.compile(r"_(segmentation|superpixels|attribute_\w+)$", re.IGNORECASE)
_UNKNOWN = frozenset({"", "nan", "na", "n/a", "none", "null", "unknown"})
NOT_UTF8 = "the name is not UTF-8; rename it"


@dataclass
class Row:
    """One image: the id it is reported by, its file, and what its table says (None = not said)."""

    id: str
    path: Path
    label: str | None = None
    lesion: str | None = None
    patient: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class Found:
    """The rows of a data folder in a recognised layout, before they become `Records`."""

    layout: str
    source: Path
    rows: list[Row]
    problems: list[Problem] = field(default_factory=list)


def is_image(path: str | Path) -> bool:
    return Path(path).suffix.lower() in IMAGE_SUFFIXES and not Path(path).name.startswith(".")


def is_mask(path: Path) -> bool:
    return bool(_MASK.search(path.stem))


def is_utf8(name: str | Path) -> bool:
    """Whether a name can be written to a text file: one from a Latin-1 system's archive cannot, on Linux."""
    try:
        str(name).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str | Path) -> str:
    """``name`` for a log or a table, its bytes that are not UTF-8 written as ``\\xe9``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def need_utf8(path: Path) -> None:
    """Check the name of a folder or table that a user gave.

    Raises:
        DermsslError: it, or a folder that it is in, has a name that is not UTF-8.
    """
    for name in (str(path), os.path.realpath(path)):  # a link may hide the name, or be what has it
        if not is_utf8(name):
            raise DermsslError(f"{printable(name)}: {NOT_UTF8}")


def list_images(folder: Path) -> tuple[list[Path], list[Problem]]:
    """Every image file below ``folder``, sorted; linked folders are followed once, hidden ones skipped.

    Names that are not UTF-8 come back as problems: no manifest, table or log could hold them.
    """
    images: list[Path] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:  # a link back up: without this the walk would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        here = Path(where)
        images += [here / name for name in files if is_image(name) and is_utf8(name)]
        problems += [_not_utf8(here / name, folder) for name in sorted(files) if is_image(name) and not is_utf8(name)]
        problems += [_not_utf8(here / name, folder, whole=True) for name in folders if not is_utf8(name)]
        folders[:] = [name for name in folders if is_utf8(name)]
    return sorted(images), problems


def _not_utf8(path: Path, folder: Path, whole: bool = False) -> Problem:
    more = " (all in this folder is left out)" if whole else ""
    return Problem(printable(path.relative_to(folder).as_posix()), NOT_UTF8 + more)


def stem_of(image: str) -> str:
    """The id in an image's name: without its folders, and without the suffix if that is one of an image."""
    name = PurePosixPath(image).name
    return name[: -len(PurePosixPath(name).suffix)] if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES else name


def known(text: str | None) -> str | None:
    """``text`` stripped, or None where a table says in one way or other that it does not know."""
    text = (text or "").strip()
    return None if text.lower() in _UNKNOWN else text


@dataclass
class Table:
    """A CSV (or tab- or semicolon-separated) file: its path, its column names, its rows as dictionaries."""

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]

    def need(self, *columns: str) -> None:
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise DermsslError(
                f"{self.path}: no column {', '.join(map(repr, missing))}; it has {', '.join(self.columns)}"
            )

    def further(self, row: dict[str, str], *used: str) -> dict[str, str]:
        """The cells of ``row`` in the columns that are not ``used``."""
        return {name: row[name].strip() for name in self.columns if name and name not in used}


def read_columns(path: Path) -> tuple[str, ...]:
    """The column names of a table, () if the file is empty or no text."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            line = file.readline(65536)
            return tuple(name.strip() for name in next(csv.reader([line], delimiter=_delimiter(line)), []))
    except (UnicodeDecodeError, csv.Error):
        return ()
    except OSError as error:
        raise DermsslError(f"{path} cannot be read: {error.strerror}") from error


def read_table(path: Path) -> Table:
    """Read a whole table.

    Raises:
        DermsslError: the file is no text, cannot be read, or names a column twice.
    """
    columns = read_columns(path)
    if not columns:
        raise DermsslError(f"{path} is empty or is not a text table; a header line with column names is needed")
    repeated = {column for column in columns if columns.count(column) > 1}
    if repeated:
        raise DermsslError(f"{path}: column {', '.join(map(repr, sorted(repeated)))} appears twice in the header")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=_delimiter(file.readline(65536)))
            rows = [
                dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False))
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DermsslError(f"{path} cannot be read as a table: {error}") from error
    return Table(path, columns, rows)


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)  # a comma where none occurs: a table of one column
