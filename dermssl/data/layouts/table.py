"""Tables as people have them: any encoding, separator or header, read once, with what is wrong by its line."""

import csv
import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from dermssl.data.layouts.json_lines import SUFFIX as JSON_LINES
from dermssl.data.layouts.json_lines import first_keys, keys_and_rows
from dermssl.data.layouts.names import is_image_name
from dermssl.data.records import Problem
from dermssl.documents import unreadable
from dermssl.errors import DermsslError
from dermssl.regular import open_regular, read_regular

SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", JSON_LINES})
MAX_BYTES = 2**29
HEAD_BYTES = 65536
_UNKNOWN = frozenset({"", "nan", "na", "n/a", "#n/a", "none", "null", "unknown"})
# Column names that readers ask for, however a table spells their capitals, spaces and dashes.
_CANONICAL = frozenset(
    [
        "image",
        "label",
        "group",
        "lesion_id",
        "lesion",
        "patient_id",
        "image_id",
        "image_name",
        "isic_id",
        "dx",
        "diagnosis",
        "target",
        "split",
        "file_name",
        "filename",
        "img_id",
        "class",
    ]
)
# Characters that nobody sees and that make two words of one: marks, spaces of no width and those that do not break.
_INVISIBLE = str.maketrans({**dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad"), "\u00a0": " ", "\u202f": " "})
_FORMULA = re.compile(r'="(.*)"')  # how Excel is made to keep an id as it is
_ISIC_ID = re.compile(r"ISIC_\d{7}(_downsampled)?")
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x19\x1b-\x1f\ufffe\uffff\ufeff]")


def known(text: str | None) -> str | None:
    """``text`` stripped, or None where a table says in one way or another that it does not know."""
    text = (text or "").strip()
    return None if text.lower() in _UNKNOWN else text


@dataclass
class Table:
    """A table: its path, its column names, its rows as dictionaries, and what was odd about it."""

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    problems: list[Problem] = field(default_factory=list)

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
    """The column names of a table; () if the file is empty or no text.

    Raises:
        DermsslError: it cannot be opened.
    """
    try:
        stat = path.stat()
        return _columns_at(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise unreadable(path, error, "put a table of text there, or remove it") from error


@lru_cache(maxsize=512)  # a folder's tables are asked for their columns several times
def _columns_at(path: Path, size: int, changed: int) -> tuple[str, ...]:
    with open_regular(path, MAX_BYTES) as file:
        data = file.read(HEAD_BYTES)
    text, _ = decoded(data, whole=len(data) == size)
    if path.suffix.lower() == JSON_LINES:
        return _usual(first_keys(text or ""))
    return _head(text)[0] if text else ()


def read_table(path: Path) -> Table:
    """Read a whole table.

    Raises:
        DermsslError: the file is not text, cannot be read, names a column twice, or has a row that its header does not
            fit; names the line.
    """
    try:
        text, encoding = decoded(read_regular(path, MAX_BYTES))
    except OSError as error:
        raise unreadable(path, error, "put a table of text there, or remove it") from error
    table = _table_of_objects(path, text) if path.suffix.lower() == JSON_LINES and text else _table(path, text)
    if encoding not in ("utf-8", "utf-16"):
        reason = f"is not UTF-8: read as {encoding}; save it as UTF-8 if names in it look wrong"
        table.problems.append(Problem(path.name, reason))
    return table


def _table_of_objects(path: Path, text: str) -> Table:
    keys, lines = keys_and_rows(path, text)
    names = _usual(keys)
    return Table(path, names, [dict(zip(names, line.values(), strict=True)) for line in lines])


def _table(path: Path, text: str | None) -> Table:
    columns, delimiter, skip = _head(text or "")
    if not columns or text is None:
        raise DermsslError(f"{path} is empty or is not a text table; a header line with column names is needed")
    repeated = {column for column in columns if column and columns.count(column) > 1}
    if repeated:
        raise DermsslError(f"{path}: column {', '.join(map(repr, sorted(repeated)))} appears twice in the header")
    rows, short = _rows(path, text, columns, delimiter, skip)
    table = Table(path, columns, rows)
    if short:
        reason = f"{len(short):,} rows have fewer cells than the header (first: line {short[0]}): the rest is blank"
        table.problems.append(Problem(path.name, reason))
    return table


def _rows(
    path: Path, text: str, columns: tuple[str, ...], delimiter: str, skip: int
) -> tuple[list[dict[str, str]], list[int]]:
    """The rows, and the lines of those that are shorter than the header."""
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows, short, before = [], [], 0
    try:
        for number, cells in enumerate(reader):
            first, before = before + 1, reader.line_num
            if number < skip or not any(cell.strip() for cell in cells):
                continue
            if before > first and any(
                line.count(delimiter) >= len(columns) - 1 > 0 for cell in cells for line in cell.splitlines()[1:-1]
            ):
                raise DermsslError(f"{path}, line {first}: a quote that opens here is closed in line {before} only")
            extra = [cell for cell in cells[len(columns) :] if cell.strip()]
            if extra:
                raise DermsslError(
                    f"{path}, line {first}: {len(cells)} cells, where the header names {len(columns)} columns "
                    f"({extra[0].strip()!r} is one too many); put quotes around a text that holds {delimiter!r}"
                )
            if len(cells) < len(columns):
                short.append(first)
            cells = [formula[1] if (formula := _FORMULA.fullmatch(cell.strip())) else cell for cell in cells]
            rows.append(dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False)))
    except csv.Error as error:
        raise DermsslError(
            f"{path}, line {reader.line_num}: cannot be read as a table: {error}; mend that line"
        ) from error
    return rows, short


def _head(text: str) -> tuple[tuple[str, ...], str, int]:
    """Column names, separator, and how many rows come before the first one of data."""
    lines = text.lstrip("\r\n").splitlines()
    if not lines:
        return (), ",", 0
    skip = len(text) - len(text.lstrip("\r\n"))
    blank = len(text[:skip].splitlines())
    if match := re.fullmatch(r'"?sep=(.)"?', lines[0].strip(), re.IGNORECASE):  # Excel's own first line
        return (_names(lines[1], match[1]) if len(lines) > 1 else ()), match[1], blank + 2
    delimiter = separator(lines[0])
    names = _names(lines[0], delimiter)
    if names and (is_image_name(names[0]) or _ISIC_ID.fullmatch(names[0])):  # no header: the data begins at once
        return (("image", "label")[: len(names)] if len(names) <= 2 else ()), delimiter, blank
    return names, delimiter, blank + 1


def separator(line: str) -> str:
    """What separates the cells of a line; a comma where nothing does: a table of one column."""
    return max(",;\t|", key=line.count)


def _names(line: str, delimiter: str) -> tuple[str, ...]:
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return ()
    while names and not names[-1]:  # Excel saves empty columns
        names.pop()
    return _usual(names)


def _usual(names: list[str]) -> tuple[str, ...]:
    """The names, those that readers ask for in their usual spelling."""
    result: list[str] = []
    for name in names:
        plain = re.sub(r"[ -]+", "_", name.lower())
        usable = plain in _CANONICAL and plain not in names and plain not in result
        result.append(plain if usable else name)
    return tuple(result)


def decoded(data: bytes, whole: bool = True) -> tuple[str | None, str]:
    """The text of a table and its encoding; None if it is not text.

    UTF-8 if it is, UTF-16 by its mark or by where its zeros are, else the one-byte encoding of Windows or of old Macs
    that gives more letters.
    """
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    encodings: list[str]
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif b"\0" in data[:2000]:
        encodings = ["utf-16-le" if data[1:2000:2].count(0) > data[0:2000:2].count(0) else "utf-16-be"]
    else:
        encodings = ["utf-8"]
    if not whole:  # the end may lie inside a letter
        data = data[: data.rfind(b"\n") - len(data)] if b"\n" in data else data
        data = data[: len(data) // 2 * 2] if encodings[0] != "utf-8" else data
    try:
        text = data.decode(encodings[0])
    except UnicodeDecodeError:
        if encodings[0] != "utf-8":
            return None, encodings[0]
        best = max(("cp1252", "mac-roman"), key=lambda name: _letters(data.decode(name, "replace")))
        text, encodings = data.decode(best, "replace"), [best]
    if _NOT_TEXT.search(text[:HEAD_BYTES]):
        return None, encodings[0]
    return unicodedata.normalize("NFC", text.translate(_INVISIBLE)), encodings[0][:6] if "utf" in encodings[
        0
    ] else encodings[0]


def _letters(text: str) -> int:
    return sum("\xc0" <= letter <= "\xff" and letter not in "\xd7\xf7" for letter in text) - 2 * text.count("\ufffd")
