"""A plain CSV: ``image,label[,group]``, or the same under other usual names."""

import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

from dermssl.data.layouts.beside import IMAGES, LABELS, LESIONS, PATIENTS, column_of
from dermssl.data.layouts.found import Files, Found, Row
from dermssl.data.layouts.layout import FOLDERS, Layout, missing
from dermssl.data.layouts.names import stem_of
from dermssl.data.layouts.table import Table, known
from dermssl.data.parts import COLUMN
from dermssl.data.records import Kind, Problem

_CLASS_WORDS = {"none", "na"}  # "no lesion", say: a class where a column of labels holds them


def _fits(path: Path, have: frozenset[str]) -> bool:
    if "image" in have:
        # Without labels, these columns are those of the tables that go with the truth of ISIC 2018 and 2019.
        return bool(have & set(LABELS)) or not have & {"lesion_id", "age_approx"}
    return bool(have & set(IMAGES)) and bool(have & set(LABELS))


def read(table: Table, files: Files) -> Found:
    """Images as paths relative to the table's folder, or as bare names below it."""
    lower = {name.lower(): name for name in reversed(table.columns)}
    column = next((lower[name] for name in IMAGES if name in lower), "image")
    table.need(column)
    label_column = next((lower[name] for name in LABELS if name in lower), "")
    lesion, patient = column_of(table.columns, LESIONS), column_of(table.columns, PATIENTS)
    found = Found(LAYOUT.name, files.folder, [], [*table.problems, *files.problems])
    labels, problems = _labels(table, label_column)
    found.problems += problems
    others = [name for name in table.columns if name not in ("", column, lesion, patient, COLUMN)]
    if not label_column and others:
        reason = (
            f"no column of the class ({', '.join(LABELS)}): read without labels; it has {', '.join(others)}, of which "
            "--label takes one"
        )
        found.problems.append(Problem(table.path.name, reason, Kind.LABEL))
    named: set[str] = set()
    moved = []
    for row, label, lesion_id in zip(table.rows, labels, _lesions(table, lesion), strict=True):
        text = row[column].strip()
        if not text:
            found.problems.append(Problem(table.path.name, "a row without an image", Kind.NO_IMAGE))
            continue
        image = _inside(text, files.folder)
        if not image and (image := _end_inside(text, files.folder)):
            moved.append(image)
        if not image:
            reason = f"points outside {files.folder}: left out; write the path relative to {table.path.name}"
            found.problems.append(Problem(text, reason, Kind.OUTSIDE))
            continue
        named.add(stem_of(image))
        paths = _meant(image, files)
        if len(paths) > 1 and "/" not in image:
            path, problem = files.take(image, FOLDERS)
            found.problems += [problem] if path and problem else []
            paths = [path] if path else paths
        if len(paths) != 1:
            reason = f"named in {table.path.name}, but {_why_not(paths, files)}"
            problem = Problem(image, reason, Kind.AMBIGUOUS_FILE) if paths else missing(image, table.path.name)
            found.problems.append(problem)
            continue
        further = table.further(row, column, label_column, patient, lesion)
        patient_id = known(row[patient]) if patient else None  # a column may have no name
        found.rows.append(Row(image, paths[0], label, lesion_id, patient_id, further))
    if moved:
        reason = f"{len(moved):,} paths of another place: found here by their ends (first: {moved[0]})"
        found.problems.append(Problem(table.path.name, reason, Kind.OUTSIDE))
    left = files.unnamed(named)
    if left:
        reason = f"{len(left):,} image files are not in any row of it (first: {files.relative(left[0])}): left out"
        found.problems.append(Problem(table.path.name, reason, Kind.NO_ROW))
    return found


def _lesions(table: Table, column: str) -> list[str | None]:
    """The lesion of each row; where its column says nothing, by the next one that may, such as lesion_id by group."""
    own = [known(row[column]) if column else None for row in table.rows]
    other = column_of([name for name in table.columns if name != column], LESIONS)
    if not other:
        return own
    others = [known(row[other]) for row in table.rows]
    of = {name: lesion for lesion, name in zip(own, others, strict=True) if lesion and name}
    return [lesion or of.get(name or "", name) for lesion, name in zip(own, others, strict=True)]


def _labels(table: Table, column: str) -> tuple[list[str | None], list[Problem]]:
    """The label of each row; which words were taken for a class or for none is said."""
    labels: list[str | None] = []
    classes, unknowns = set(), set()
    for row in table.rows:
        text = row.get(column, "").strip()
        if text.lower() in _CLASS_WORDS:
            classes.add(text)
            labels.append(text)
            continue
        label = known(text)
        labels.append(label)
        if text and label is None:
            unknowns.add(text)
    problems = [
        Problem(table.path.name, f"{text!r} in {column} is {said}", Kind.LABEL)
        for words, said in (
            (classes, "read as a class; leave the cell blank where the label is unknown"),
            (unknowns, "read as an unknown label"),
        )
        for text in sorted(words)
    ]
    return labels, problems


def _inside(image: str, folder: Path) -> str | None:
    """``image`` relative to ``folder``; None if it is outside."""
    image = image.replace("\\", "/")
    if Path(image).is_relative_to(folder.absolute()):
        image = Path(image).relative_to(folder.absolute()).as_posix()
    absolute = PurePosixPath(image).is_absolute() or PureWindowsPath(image).is_absolute()
    if absolute or ".." in image.split("/"):
        return None
    return PurePosixPath(image).as_posix()


def _end_inside(image: str, folder: Path) -> str | None:
    """The end of a path of another machine, with a folder's name, that leads to a file in ``folder``; None without."""
    parts = image.replace("\\", "/").split("/")
    if ".." in parts:
        return None
    ends = ["/".join(parts[start:]) for start in range(1, len(parts) - 1)]
    if len(parts) > 1 and parts[-2] == folder.absolute().name:
        ends.append(parts[-1])
    return next((end for end in ends if end and not end.startswith("/") and (folder / end).is_file()), None)


def _meant(image: str, files: Files) -> list[Path]:
    """The files that a name may mean. A path means its own file only: benign/1.png is not malignant/1.png."""
    if (files.folder / image).is_file():
        return [files.folder / image]
    if "/" in image:
        composed = unicodedata.normalize("NFC", image)  # a Mac's archive writes the letters of é apart
        return [path for path in files.stem(image) if unicodedata.normalize("NFC", files.relative(path)) == composed]
    return sorted(files.named(image))


def _why_not(paths: list[Path], files: Files) -> str:
    names = ", ".join(files.relative(path) for path in paths[:3]) + (" ..." if len(paths) > 3 else "")
    return f"{len(paths)} files have this name ({names}): write the path"


LAYOUT = Layout("csv", _fits, read, below=False)
