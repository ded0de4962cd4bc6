"""Which table of a folder is read, and what the folders add to it."""

import re
from dataclasses import replace
from pathlib import Path

from dermssl.data.layouts.additions import join_beside
from dermssl.data.layouts.beside import IMAGES, LABELS, column_of, places, tables_in, tables_near
from dermssl.data.layouts.folders import by_folders, split_of
from dermssl.data.layouts.found import Files, Found, list_images
from dermssl.data.layouts.layout import Layout
from dermssl.data.layouts.names import id_in_cell, is_utf8
from dermssl.data.layouts.plain import LAYOUT as CSV
from dermssl.data.layouts.registry import LAYOUTS, layout_of
from dermssl.data.layouts.table import Table, known, read_columns, read_table
from dermssl.data.layouts.unread import tables_not_read
from dermssl.data.parts import COLUMN, part_of
from dermssl.data.records import Kind, Problem
from dermssl.errors import DermsslError


def read_folder_with_table(folder: Path) -> Found | None:
    """Read ``folder`` by the table in it; None if none is of a known layout. What is not read is said."""
    chosen = _chosen(folder)
    if chosen is None:
        return _read_parts(folder) or _read_below(folder)
    layout, paths = chosen
    table = _one(paths)
    files = _files(folder, table.path)
    found = _read(layout, table, files)
    if layout is CSV and not _has_class(table.path):
        _add_folders(found, table.path, files.images)
    used = join_beside(found, [path for path in tables_near(folder, table.path) if path not in paths])
    _add_split(found)
    found.problems += tables_not_read(folder, found, {*paths, *used}, table.path)
    return found


def _read_parts(folder: Path) -> Found | None:
    """A CSV in each of the folders train, val and test, as the Hub's image folders have it."""
    tables = {
        where: path
        for where in places(folder)[1:]
        if part_of(where.name)
        for path in reversed(tables_in(where))
        if layout_of(path, read_columns(path)) is CSV
    }
    if not tables:
        return None
    whole = Found(CSV.name, folder, [])
    files = Files(folder)
    for where in sorted(tables, key=lambda path: ("train", "val", "test").index(part_of(path.name))):
        found = CSV.read(read_table(tables[where]), Files(where))
        for row in found.rows:
            row.id = f"{where.name}/{row.id}"
            row.attributes.setdefault(COLUMN, part_of(where.name))
        whole.rows += found.rows
        whole.problems += [replace(problem, path=f"{where.name}/{problem.path}") for problem in found.problems]
    _add_folders(whole, next(iter(tables.values())), files.images)
    left = [path for path in files.images if not any(path.is_relative_to(where) for where in tables)]
    if left:
        name = left[0].relative_to(folder).as_posix()
        reason = f"{len(left):,} image files are in no folder of a part that has a table: left out"
        whole.problems.append(Problem(name, reason, Kind.NO_ROW))
    whole.problems += tables_not_read(folder, whole, set(tables.values()), folder)
    return whole


def _read_below(folder: Path) -> Found | None:
    """By the only CSV with labels one level below, if it names most of the images: ``labels/labels.csv``."""
    tables = [path for where in places(folder)[1:] for path in tables_in(where) if is_utf8(path.name)]
    fitting = [path for path in tables if layout_of(path, read_columns(path)) is CSV]
    labelled = [path for path in fitting if _has_class(path)]
    if len(labelled) != 1:
        return None
    files = Files(folder)
    found = CSV.read(read_table(labelled[0]), files)
    if len(found.rows) <= len(files.images) / 2:
        return None
    _add_split(found)
    found.problems += tables_not_read(folder, found, {labelled[0]}, labelled[0])
    return found


def read_table_file(path: Path) -> Found:
    """Read the data set that one table describes, its images lying beside or below it."""
    table = read_table(path)
    layout = layout_of(path, table.columns)
    if layout is None and "image" not in table.columns:
        raise DermsslError(
            f"{path}: no column 'image' (a CSV needs image,label[,group]), nor the columns of HAM10000 or "
            f"ISIC tables; it has {', '.join(table.columns)}"
        )
    found = _read(layout or CSV, table, _files(path.parent, path))  # metadata by itself is a CSV without labels
    if layout not in (None, CSV):
        join_beside(found, tables_near(path.parent, path))
    _add_split(found)
    return found


def _read(layout: Layout, table: Table, files: Files) -> Found:
    """As the layout reads it; where that gives no label, a column that may hold somebody's own is named."""
    found = layout.read(table, files)
    if not any(row.label for row in found.rows):
        own = ", ".join(
            name
            for name in LABELS
            if name not in layout.classes and any(known(row.attributes.get(name)) for row in found.rows)
        )
        if own:
            reason = f"no class in the columns of {layout.name}; it has {own} too, of which --label takes one"
            found.problems.append(Problem(table.path.name, reason, Kind.LABEL))
    return found


def _has_class(path: Path) -> bool:
    return bool({name.lower() for name in read_columns(path)} & set(LABELS))


def _add_folders(found: Found, table: Path, images: list[Path]) -> None:
    """The classes, and the groups that are missing, by the folders of the images, where the tables say no class."""
    if any(row.label for row in found.rows):
        return
    labels, groups, said = by_folders(images, found.source)
    names = sorted({labels[row.path] for row in found.rows if row.path in labels})
    if len(names) < 2:
        return
    if any(row.lesion or row.patient for row in found.rows):
        groups = {}
    for row in found.rows:
        row.label, row.lesion = labels.get(row.path), row.lesion or groups.get(row.path)
    shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    reason = f"no column of the class: the folders of the images ({shown}) are the classes"
    found.problems = [problem for problem in found.problems if problem.kind is not Kind.LABEL]
    found.problems += [Problem(table.name, reason, Kind.LABEL), *(p for p in said if groups or p.kind is Kind.LABEL)]


def _add_split(found: Found) -> None:
    """The split of somebody's own table by the folders train, val and test of its images, where no column says it."""
    if found.layout != CSV.name or any(row.attributes.get(COLUMN) for row in found.rows):
        return
    inside = [
        row.path.relative_to(found.source).parts if row.path.is_relative_to(found.source) else () for row in found.rows
    ]
    splits = [split_of(parts) for parts in inside]
    if len({split[COLUMN] for split in splits if split}) < 2:
        return
    for row, split in zip(found.rows, splits, strict=True):
        row.attributes |= split


def _chosen(folder: Path) -> tuple[Layout, list[Path]] | None:
    """The layout that wins, and its table; several where people keep their training and test rows apart."""
    fitting: dict[str, list[Path]] = {}
    for where in places(folder):
        for path in tables_in(where):
            layout = layout_of(path, read_columns(path)) if is_utf8(path.name) else None
            if layout and (layout.below or where == folder):
                fitting.setdefault(layout.name, []).append(path)
    for layout in LAYOUTS:
        paths = fitting.get(layout.name)
        if not paths:
            continue
        if layout is CSV:
            paths = [path for path in paths if _has_class(path)] or paths
        named = [path for path in paths if layout.table and path.stem.lower() == Path(layout.table).stem.lower()]
        parts = [path for path in paths if part_of(path.stem)]
        if layout is CSV and (whole := _whole(paths, parts)):
            return layout, [whole]
        if layout.name in ("csv", "ham10000") and not named and len(parts) == len(paths) > 1:
            return layout, sorted(parts, key=lambda path: ("train", "val", "test").index(part_of(path.stem)))
        # Training before test: a folder with the whole challenge must not mix its test set in unseen.
        return layout, [min(named or paths, key=lambda path: ("train" not in path.name.lower(), path.name))]
    return None


def _whole(paths: list[Path], parts: list[Path]) -> Path | None:
    """The table of labels that names all images of the tables of the parts, which then only say the split."""
    others = [path for path in paths if path not in parts]
    if len(others) != 1 or len(parts) < 2:
        return None
    named = _images_of(others[0])
    return others[0] if all(_images_of(path) <= named for path in parts) else None


def _images_of(path: Path) -> set[str]:
    column = column_of(read_columns(path), IMAGES)
    return {id_in_cell(row[column]) for row in read_table(path).rows}


def _one(paths: list[Path]) -> Table:
    """One table of all rows; of several tables the name of each is its rows' split."""
    table = read_table(paths[0])
    if len(paths) == 1:
        return table
    rows, columns = [], dict.fromkeys(table.columns)
    problems = []
    for path in paths:
        more = read_table(path)
        columns |= dict.fromkeys(more.columns)
        rows += [row if row.get(COLUMN) else row | {COLUMN: part_of(path.stem)} for row in more.rows]
        problems += more.problems
    names = (*columns, *([] if COLUMN in columns else [COLUMN]))
    rows = [{name: row.get(name, "") for name in names} for row in rows]
    return Table(table.path, names, rows, problems)


def _files(folder: Path, table: Path) -> Files:
    """The photographs below ``folder``; those of the folder beside a challenge's folder of ground truth."""
    files = Files(folder)
    if files.images:
        return files
    for name in dict.fromkeys((table.parent.name, table.stem)):
        start = re.sub(r"(_Part3B?)?_GroundTruth.*", "", name, flags=re.IGNORECASE)
        for end in ("_Input", "_Data", "_Part3_Data"):
            beside = table.parent.parent / f"{start}{end}"
            if start != name and beside.is_dir():
                return Files(table.parent.parent, list_images(beside)[0])
    return files
