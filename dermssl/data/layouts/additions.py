"""What other tables of a folder add to the rows of a data set: lesions, patients, the split, ages, sites."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dermssl.data.layouts.beside import IDS, IMAGES, LABELS, LESIONS, PATIENTS, column_of
from dermssl.data.layouts.found import Found, Row
from dermssl.data.layouts.names import loose, stem_of, without_suffix
from dermssl.data.layouts.table import Table, known, read_columns, read_table
from dermssl.data.parts import COLUMN, part_of
from dermssl.data.records import Kind, Problem
from dermssl.errors import DermsslError

# Not taken from a table beside: they would stand for labels that nobody asked for.
_TRUTHS = {*LABELS, "malignant", "melanoma", "benign_malignant"}
# Of these layouts the tables of the parts are people's own; those of a challenge name all of its training images.
_WITH_PARTS = ("csv", "class folders", "ham10000")


class RowsByName:
    """The rows of an image by a name that a table gives it: its id, or its path with more folders or fewer."""

    def __init__(self, rows: Iterable[Row], folder: Path) -> None:
        self._folder = f"{folder.as_posix()}/"
        self._of: dict[Path, list[Row]] = defaultdict(list)
        for row in rows:
            self._of[row.path].append(row)
        self._stems = self._by(stem_of)
        # benign/1.png and malignant/1.png: there a name says nothing without its folders
        self._repeat = any(len(paths) > 1 for paths in self._stems.values())

    def __call__(self, text: str, where: str = "") -> list[Row]:
        """The rows of the one image that a name can mean; none if it can mean none or several.

        Args:
            text: the name.
            where: the folder of the table that says it, relative to that of the data.
        """
        name = without_suffix(text)
        if self._repeat:
            for whole in (PurePosixPath(where, name).as_posix(), name):
                if len(self._whole.get(whole, ())) == 1:
                    return self._rows(self._whole[whole])
        paths = self._stems.get(stem_of(name)) or self._loose.get(loose(name)) or set()
        if "/" in name and self._repeat:
            paths = {path for path in paths if self._fits(path, name)}
        return self._rows(paths) if len(paths) == 1 else []

    @cached_property
    def _whole(self) -> dict[str, set[Path]]:
        return self._by(without_suffix)

    @cached_property
    def _loose(self) -> dict[str, set[Path]]:
        return self._by(loose)

    def _by(self, key: Callable[[str], str]) -> dict[str, set[Path]]:
        """The files by their ids and by their paths in the folder, as ``key`` spells these."""
        found: dict[str, set[Path]] = defaultdict(set)
        for path, rows in self._of.items():
            for name in {*(row.id for row in rows), path.as_posix().removeprefix(self._folder)}:
                found[key(name)].add(path)
        return found

    def _fits(self, path: Path, name: str) -> bool:
        inside = without_suffix(path.as_posix())
        ids = [without_suffix(row.id) for row in self._of[path]]
        return f"/{inside}".endswith(f"/{name}") or any(f"/{name}".endswith(f"/{own}") for own in ids)

    def _rows(self, paths: set[Path]) -> list[Row]:
        return self._of[next(iter(paths))]


class _Telling(NamedTuple):
    """What a table beside others tells, by its columns and its name."""

    key: str  # the column that names the images
    lesion: str
    patient: str
    truths: bool  # labels of its own: it gives its lesions, patients and split only
    part: str  # train.csv lists the images of that part
    headless: list[Row]  # of a list of names without a header: the first of them stands where the header would


def _telling(path: Path, columns: tuple[str, ...], found: Found, named: RowsByName) -> _Telling | None:
    """None of a table that adds nothing to the rows found."""
    key = column_of(columns, (*IDS, *IMAGES))
    headless = named(columns[0]) if len(columns) == 1 and not key and part_of(path.stem) else []
    key = key or (columns[0] if headless else "")
    lesion, patient = column_of(columns, LESIONS), column_of(columns, PATIENTS)
    rest = set(columns) - {key, ""}
    truths = bool(_TRUTHS & rest)
    part = "" if COLUMN in rest or found.layout not in _WITH_PARTS else part_of(path.stem)
    nothing = not rest or (truths and not rest & {lesion, patient, COLUMN})
    said_before = truths and found.layout == "class folders"  # there it was looked at for its labels
    if not key or (not part and (nothing or said_before)):
        return None
    return _Telling(key, lesion, patient, truths, part, headless)


def join_beside(found: Found, tables: Iterable[Path]) -> list[Path]:
    """Add what other tables say of the rows: lesions, patients and columns that the rows lack.

    A table that has labels of its own gives its lesions, patients and split only. Returns the tables that were used.
    """
    named = RowsByName(found.rows, found.source)
    used, parts, groupings = [], {}, []
    for path in tables:
        columns = read_columns(path)
        tells = _telling(path, columns, found, named)
        if tells is None:
            continue
        try:
            table = read_table(path)
        except DermsslError as error:
            found.problems.append(Problem(path.name, f"not read: {error}", Kind.NOT_READ))
            continue
        where = path.parent.relative_to(found.source).as_posix() if path.is_relative_to(found.source) else ""
        lines = [(row, line) for line in table.rows for row in named(line[tells.key], where)]
        if tells.part and (lines or tells.headless):
            parts[path] = [*tells.headless, *(row for row, _ in lines)]
        grouped = _add_groups(found, table, lines, tells.lesion, tells.patient)
        if grouped:
            groupings.append((path.name, {id(row) for row, _ in lines}))
        added = _add_columns(lines, [name for name in columns if name == COLUMN or not tells.truths], tells)
        if grouped or added:
            used.append(path)
            found.problems += _other_labels(table, lines) if tells.truths else []
    for name, there in groupings:
        without = sum(id(row) not in there and not (row.lesion or row.patient) for row in found.rows)
        if without:
            reason = f"{without:,} images have no row in it: each of them is its own group"
            found.problems.append(Problem(name, reason, Kind.GROUP))
    return [*used, *(path for path in _add_parts(found, parts) if path not in used)]


def _add_columns(lines: list[tuple[Row, dict[str, str]]], columns: list[str], tells: _Telling) -> bool:
    """Give the rows the values of the columns that some of them lack; whether there were any."""
    further = [name for name in columns if name and name not in (tells.key, tells.lesion, tells.patient)]
    news = [name for name in further if not all(name in row.attributes for row, _ in lines)]
    for row, line in lines:
        row.attributes |= {name: line[name].strip() for name in news if name not in row.attributes}
    return bool(lines and news)


def _add_groups(found: Found, table: Table, lines: list[tuple[Row, dict[str, str]]], lesion: str, patient: str) -> bool:
    """Give the rows the lesions and patients that they lack; whether there were any. What is unclear is said."""
    given = False
    for what, column in (("lesion", lesion), ("patient", patient)):
        lacking = {id(row) for row, _ in lines if getattr(row, what) is None} if column else set()
        several: set[Path] = set()
        for row, line in lines:
            text = known(line.get(column))
            if id(row) not in lacking or text is None:
                continue
            if getattr(row, what) not in (None, text):
                several.add(row.path)
                continue
            setattr(row, what, text)
            given = True
        if several:
            reason = f"names {len(several):,} images with more than one {what} in {column}: the first is used"
            found.problems.append(Problem(table.path.name, reason, Kind.REPEATED_ROW))
    return given


def _other_labels(table: Table, lines: list[tuple[Row, dict[str, str]]]) -> list[Problem]:
    """What is said of a table that adds groups and has labels, too, where these are others and not only other words."""
    column = column_of(table.columns, LABELS)
    pairs = Counter((text, row.label) for row, line in lines if column and row.label and (text := known(line[column])))
    most: dict[str, int] = {}
    for (text, _), count in pairs.most_common():
        most.setdefault(text, count)
    others = pairs.total() - sum(most.values())
    if not others:
        return []
    reason = (
        f"{others:,} images have another label in its column {column}, which is not used: only its groups and split"
    )
    return [Problem(table.path.name, reason, Kind.LABEL)]


def _add_parts(found: Found, parts: dict[Path, list[Row]]) -> list[Path]:
    """The split by lists of the images of each part, such as train.csv and test.csv beside a table of the labels."""
    if len({part_of(path.stem) for path in parts}) < 2 or any(row.attributes.get(COLUMN) for row in found.rows):
        return []
    first: dict[int, str] = {}
    several: set[Path] = set()
    for path, rows in parts.items():
        several |= {row.path for row in rows if first.setdefault(id(row), part_of(path.stem)) != part_of(path.stem)}
    names = ", ".join(path.name for path in parts)
    if len(several) > len(first) / 2:  # train_fold0.csv, val_fold0.csv, train_fold1.csv ...
        reason = (
            f"{names} divide the same images in several ways: no split is read from them; keep one list of each part"
        )
        found.problems.append(Problem(next(iter(parts)).name, reason, Kind.NOT_READ))
        return list(parts)
    if several:
        reason = f"{len(several):,} images are in several of {names}: the first is used"
        found.problems.append(Problem(next(iter(parts)).name, reason, Kind.REPEATED_ROW))
    for row in found.rows:
        row.attributes |= {COLUMN: first[id(row)]} if id(row) in first else {}
    return list(parts)
