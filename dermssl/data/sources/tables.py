"""The rows beside images in a container, as a CSV that the layouts read."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dermssl.csv_rows import write_rows
from dermssl.data.parts import part_of

# What tables call the id of an image, and the diagnosis, where there is no column `image` or `label`.
IDS = ("image_id", "isic_id", "image_name")
LABELS = ("labels", "dx", "diagnosis", "target", "class", "class_name", "cls")
_SPLIT = re.compile(r"(train|training|val|valid|validation|test)(?=$|[^a-z])", re.IGNORECASE)


def split_of(name: str) -> str:
    """``train``, ``val`` or ``test`` by the name of a file such as ``train-00000-of-00005.parquet``; "" if by none."""
    found = _SPLIT.match(name)
    return part_of(found[1]) if found else ""


def split_of_file(file: Path, source: Path) -> str:
    """The same by the file's name, or by the folders that it lies in below ``source``: ``train/0000.parquet``."""
    folders = file.relative_to(source).parts[:-1] if file.is_relative_to(source) else ()
    return split_of(file.name) or next(filter(None, map(part_of, reversed(folders))), "")


def as_csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    """The rows as a CSV with the columns of all of them; None and NaN are blank."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    write_rows(text, [columns, *([_cell(row.get(name)) for name in columns] for row in rows)])
    return text.getvalue().encode("utf-8", "backslashreplace")


def with_label(row: dict[str, object], label: str | None) -> dict[str, object]:
    """The row with a column ``label``, a copy of the one named."""
    return row if label is None or "label" in row else {**row, "label": row.get(label)}


def label_column(columns: Sequence[str], classes: Sequence[str] = ()) -> str | None:
    """The column that holds the class where none is called ``label``.

    Args:
        columns: all names.
        classes: those that the source itself declares to be classes.
    """
    if "label" in columns:
        return "label"
    lower = {name.lower(): name for name in reversed(columns)}
    known = [lower[name] for name in LABELS if name in lower]
    return known[0] if known else classes[0] if len(classes) == 1 else None


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    return " ".join(str(value).split("\n"))
