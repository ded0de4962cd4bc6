"""Label and group from the columns that the user names."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dermssl.data.layouts.beside import places, tables_in
from dermssl.data.layouts.found import Found, list_images
from dermssl.data.layouts.names import stem_of
from dermssl.data.layouts.table import Table, known, read_table
from dermssl.data.records import Kind, Problem
from dermssl.errors import DermsslError


@dataclass(frozen=True)
class Columns:
    """DATA, and which columns of its tables hold the class and the group.

    Attributes:
        data: any other DATA argument.
        label, group: names of columns; None = as the layout has them.
    """

    data: Any
    label: str | None = None
    group: str | None = None

    def __str__(self) -> str:
        return str(self.data)


def by_columns(data: Any, label: str | None, group: str | None) -> Any:
    """``data``, with the columns named if any is."""
    return data if label is None and group is None else Columns(data, label, group)


def named_rows(found: Found, folder: Path, label: str | None, group: str | None, only: Path | None = None) -> Found:
    """The rows with label and group of the named columns: of their own table, or of another one in the folder.

    Args:
        found: the rows of a layout.
        folder: where tables are looked for, and one level below.
        only: the table that DATA is.

    Raises:
        DermsslError: no table has the column; names those there are.
    """
    tables = [only] if only else [path for where in places(folder) for path in tables_in(where)]
    rows, problems = found.rows, list(found.problems)
    for option, name in (("--label", label), ("--group", group)):
        if name is None:
            continue
        values = [row.attributes.get(name) for row in rows]
        if all(value is None for value in values):
            values, more = _looked_up(found, name, tables, option)
            problems += more
        texts = [known(value) for value in values]
        if option == "--label":
            # what the layout said of its own labels is not about these
            problems = [problem for problem in problems if problem.kind is not Kind.LABEL]
            rows = [replace(row, label=text) for row, text in zip(rows, texts, strict=True)]
        else:
            rows = [replace(row, lesion=text, patient=None) for row, text in zip(rows, texts, strict=True)]
        if not any(texts):
            raise DermsslError(f"{option} {name}: this column is empty for all {len(rows):,} images of {found.source}")
    return replace(found, rows=rows, problems=problems)


def as_images(table: Table, folder: Path) -> Table:
    """A table of unknown columns with the one that names the images called ``image``.

    Raises:
        DermsslError: no column does.
    """
    if "image" in table.columns:
        return table
    images, _ = list_images(folder)
    files = {path.relative_to(folder).as_posix() for path in images} | {path.stem for path in images}
    shares = {name: _share(table, name, files) for name in table.columns}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < 0.5:
        raise DermsslError(
            f"{table.path}: no column names the images of {folder}; it has {', '.join(table.columns)}: call it image"
        )
    rows = [{("image" if name == best else name): text for name, text in row.items()} for row in table.rows]
    return Table(table.path, tuple("image" if name == best else name for name in table.columns), rows)


def _looked_up(found: Found, name: str, tables: Iterable[Path], option: str) -> tuple[list[str | None], list[Problem]]:
    seen: list[str] = []
    for path in tables:
        try:
            table = read_table(path)
        except DermsslError:  # said where the tables are read
            continue
        seen += [column for column in table.columns if column and column not in seen]
        if name in table.columns:
            return _joined(found, table, name)
    seen += [column for row in found.rows[:1] for column in row.attributes if column not in seen]
    there = f"it has {', '.join(seen)}" if seen else "it has no table with columns"
    raise DermsslError(f"{option} {name}: no such column in {found.source}; {there}")


def _joined(found: Found, table: Table, name: str) -> tuple[list[str | None], list[Problem]]:
    """The cell of each row's image in ``table``."""
    full = [_relative(row.path, found.source) for row in found.rows]
    stems = [stem_of(text) for text in full]
    ids = [stem_of(row.id) for row in found.rows]
    files = {*full, *stems, *ids}
    image = max(table.columns, key=lambda column: _share(table, column, files))
    if _share(table, image, files) == 0:
        raise DermsslError(f"{table.path}: none of its columns names the images, so {name!r} cannot be joined to them")
    cells: dict[str, str] = {}
    unclear: set[str] = set()
    for row in table.rows:
        text = row[image].strip().replace("\\", "/")
        for spelling in dict.fromkeys((text, stem_of(text))):
            if cells.setdefault(spelling, row[name]) != row[name]:
                unclear.add(spelling)
    values, problems, missing = [], [], 0
    for row_full, stem, row_id in zip(full, stems, ids, strict=True):
        key = next((name for name in (row_full, stem, row_id) if name in cells), None)
        if key in unclear:
            problems.append(Problem(row_full, f"{table.path.name} has two values of {name} for it: unknown"))
        missing += key is None
        values.append(None if key is None or key in unclear else cells[key])
    if missing:
        problems.append(Problem(table.path.name, f"{missing:,} images have no row in it: their {name} is unknown"))
    return values, problems


def _share(table: Table, column: str, files: set[str]) -> float:
    cells = [row[column].strip().replace("\\", "/") for row in table.rows[:1000] if row[column].strip()]
    hits = sum(cell in files or stem_of(cell) in files or PurePosixPath(cell).name in files for cell in cells)
    return hits / len(cells) if cells else 0.0


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
