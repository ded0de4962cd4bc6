"""From a DATA argument to records: which layout it is, and what its files and tables say."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dermssl.data import cache_files, parts
from dermssl.data.cache import Cache, open_cache
from dermssl.data.columns import Columns, as_images, named_rows
from dermssl.data.joining import PAIRS_SOURCE, groups_of, ham10000_pairs, join_groups, join_twins
from dermssl.data.layouts.additions import join_beside
from dermssl.data.layouts.beside import tables_below, tables_in
from dermssl.data.layouts.classes import normalised
from dermssl.data.layouts.folders import read_folder
from dermssl.data.layouts.found import Files, Found, Row
from dermssl.data.layouts.names import is_image, need_utf8
from dermssl.data.layouts.plain import LAYOUT as CSV
from dermssl.data.layouts.registry import LAYOUTS, layout_of
from dermssl.data.layouts.table import SUFFIXES, read_columns, read_table
from dermssl.data.layouts.tables import read_folder_with_table, read_table_file
from dermssl.data.layouts.unread import tables_not_read
from dermssl.data.records import Kind, Problem, Records, describe
from dermssl.data.sources.container import ContainerOpener
from dermssl.data.sources.mount import mounted, suffix_of, survey
from dermssl.data.sources.python import read_dataset
from dermssl.data.sources.spelled import located, prefix_of, torch_dataset
from dermssl.errors import DermsslError
from dermssl.regular import unfit_name

LOGGER = logging.getLogger("dermssl")

# What is said of a container that lies beside image files, where it may as well be a table of theirs.
_BESIDE = {
    ".parquet": (
        "not read, as there are image files beside it; if it is their table, save it as CSV, else name it itself",
        Kind.NOT_READ,
    )
}
LOOKED_FOR = (
    "looked for: a prepared cache (manifest.json); the table of a known set ("
    + ", ".join(dict.fromkeys(layout.table for layout in LAYOUTS if layout.table))
    + "); "
    "a CSV with image,label[,group]; a folder per class; image files (jpg, png, bmp, tif, webp) at any depth; all "
    "of them also in .zip and .tar archives; .parquet, .npz and .hdf5 files of images"
)


def read_records(data: Any) -> Records:
    """Find out what ``data`` is and read who its images are. Nothing is decoded.

    Args:
        data: a folder, table or archive in any layout of docs/reference/layouts.md, a prepared cache, one of timm's
            spellings (``hfds/ORG/NAME`` ...), a map-style data set, or `Columns` around one of these.

    Raises:
        DermsslError: there is nothing there, no image, or no known layout; names what was looked for.
    """
    columns = data if isinstance(data, Columns) else Columns(data)
    if isinstance(columns.data, str | os.PathLike):
        text = os.fspath(columns.data)
        records = _read_torch(text, columns) if prefix_of(text) == "torch" else _read_path(text, columns)
    else:
        records = _renamed(read_dataset(columns.data), columns)
    LOGGER.info("%s", describe(records))
    return records


def path_of(data: Any) -> Path | None:
    """Where ``data`` lies, for names and comparisons; None for a data set made in Python."""
    data = data.data if isinstance(data, Columns) else data
    if isinstance(data, str) and not data.strip():
        raise DermsslError("DATA: must not be empty; name a folder, a table or a cache (. is the folder you are in)")
    if not isinstance(data, str | os.PathLike):
        return None
    why = unfit_name(data)
    if why is not None:
        raise DermsslError(f"DATA {str(data)[:60]!r}...: {why}")
    return Path(data).expanduser()


def renamed_cache(cache: Cache, data: Any) -> Cache:
    """An open cache with label and group from the columns that ``data`` names, which it kept as attributes."""
    if not isinstance(data, Columns):
        return cache
    return replace(cache, records=_renamed(cache.records, data))


def _read_path(data: str, columns: Columns) -> Records:
    source = located(data) if prefix_of(data) else Path(data).expanduser()
    need_utf8(source)
    if source.is_dir():
        if cache_files.is_cache(source):
            return replace(_renamed(open_cache(source).records, columns), layout="prepared cache")
        seen = survey(source)
        if seen.containers and not seen.images:
            return _read_mounted(source, seen.containers, columns, seen.left_out)
        found = _named(_read_directory(source), source, columns)
        found.problems += [
            Problem(
                path.relative_to(source).as_posix(),
                *_BESIDE.get(
                    path.suffix.lower(),
                    ("not read, since image files lie beside it; name it directly", Kind.LEFT_OUT),
                ),
            )
            for path in seen.containers
        ]
        # before the images that a table misses: what was not read explains them
        found.problems = [*seen.left_out, *found.problems]
    elif (source.is_file() and source.suffix.lower() in SUFFIXES - {".txt"}) or _is_text_table(source):
        found = _read_table(source, columns)
    elif source.is_file() and suffix_of(source):
        return _read_mounted(source, [source], columns, _tables_beside(source))
    elif source.is_file():
        kind = "one image" if is_image(source) else "not a folder, table or archive of a known kind"
        raise DermsslError(f"{source} is {kind}: give the folder that holds the images; {LOOKED_FOR}")
    elif source.exists():
        raise DermsslError(f"{source} is a FIFO, socket or device, not a file; give a folder, a CSV or an archive")
    else:
        raise DermsslError(f"{source} does not exist; give a folder of images, a CSV, an archive or a prepared cache")
    return _records(found)


def _read_mounted(source: Path, files: list[Path], columns: Columns, left_out: Sequence[Problem] = ()) -> Records:
    """The images inside archives, by the layout that they would have as a folder."""
    with mounted(source, files) as shown:
        if not any(shown.folder.iterdir()):
            said = [f"; {problem.path}: {problem.reason}" for problem in (*left_out, *shown.problems)[:1]]
            raise DermsslError(f"{source} holds no image that can be read{''.join(said)}; {LOOKED_FOR}")
        try:
            found = _named(_read_directory(shown.folder), shown.folder, columns)
            found.problems = [*left_out, *shown.problems, *found.problems]
            records = _records(found)
        except DermsslError as error:
            raise DermsslError(str(error).replace(str(shown.folder), str(source))) from error
        places = {path: (container, key) for path, container, key in shown.places.values()}
        problems = [Problem(p.path, p.reason.replace(str(shown.folder), str(source)), p.kind) for p in records.problems]
        return replace(
            records,
            source=source,
            paths=tuple(shown.real(path) for path in records.paths),
            problems=tuple(problems),
            opener=ContainerOpener(places),
        )


def _tables_beside(archive: Path) -> list[Problem]:
    """The tables in the folder of an archive: they may be of other images, but may hold the labels of these."""
    return [
        Problem(
            path.name,
            f"not read, as DATA is {archive.name}; give the folder {archive.parent} to use both",
            Kind.NOT_READ,
        )
        for path in tables_in(archive.parent)
    ]


def _read_torch(data: str, columns: Columns) -> Records:
    return _renamed(read_dataset(*torch_dataset(data)), columns)


def _read_table(source: Path, columns: Columns) -> Found:
    if columns.label is None and columns.group is None:
        return read_table_file(source)
    table = read_table(source)
    if layout_of(source, table.columns) is None:
        found = CSV.read(as_images(table, source.parent), Files(source.parent))
        return _named(found, source.parent, columns, source)
    return _named(read_table_file(source), source.parent, columns, source)


def _named(found: Found, folder: Path, columns: Columns, only: Path | None = None) -> Found:
    if columns.label is None and columns.group is None:
        return found
    return named_rows(found, folder, columns.label, columns.group, only)


def _renamed(records: Records, columns: Columns) -> Records:
    """Records of a cache or a data set, whose columns are their attributes."""
    if columns.label is None and columns.group is None:
        return records
    rows = [
        Row(id, path, attributes={name: texts[i] for name, texts in records.attributes.items()})
        for i, (id, path) in enumerate(zip(records.ids, records.paths, strict=True))
    ]
    bare = Found(records.layout, records.source, rows)
    new = _records(named_rows(bare, records.source, columns.label, columns.group, only=Path()), one_each=False)
    records = replace(records, groups=records.groups if columns.group is None else new.groups)
    return records if columns.label is None else replace(records, labels=new.labels, classes=new.classes)


def _is_text_table(path: Path) -> bool:
    """Whether a .txt file, or Dataverse's HAM10000_metadata, is the table of a known layout."""
    if path.suffix.lower() != ".txt" and path.name != "HAM10000_metadata":
        return False
    return layout_of(path, read_columns(path)) is not None


def _read_directory(folder: Path) -> Found:
    try:
        if not any(folder.iterdir()):
            raise DermsslError(f"{folder} is empty; {LOOKED_FOR}")
        found = read_folder_with_table(folder)
        if found is None:
            found = read_folder(folder)
            used = join_beside(found, tables_below(folder)) if found.layout == "class folders" else []
            found.problems += tables_not_read(folder, found, set(used))
        return found
    except PermissionError as error:
        raise DermsslError(
            f"{error.filename} cannot be read: no permission; give yourself permission to read it"
        ) from error


def _records(found: Found, one_each: bool = True) -> Records:
    """The rows as records; with ``one_each``, no file by two rows that disagree."""
    problems = list(found.problems)
    rows: dict[str, Row] = {}
    of_file: dict[Path, Row] = {}
    for row in found.rows:
        first = rows.get(row.id) or of_file.setdefault(row.path, row)
        apart = [what for what in ("label", "lesion", "patient") if getattr(row, what) != getattr(first, what)]
        if row.attributes.get(parts.COLUMN) != first.attributes.get(parts.COLUMN):
            apart.append(parts.COLUMN)
        if row.id not in rows and not (one_each and apart):
            rows[row.id] = row
            continue
        other = f" with another {' and '.join(apart)}" if apart else ""
        named = "" if row.id in rows else f", of the file that {first.id} names"
        problems.append(Problem(row.id, f"a second row{named}{other}: the first is used", Kind.REPEATED_ROW))
    if not rows:
        seen = f"; {len(problems):,} problems, first: {problems[0].path}: {problems[0].reason}" if problems else ""
        raise DermsslError(f"no images in {found.source} (read as {found.layout}){seen}; {LOOKED_FOR}")
    kept = list(rows.values())
    names, said = normalised(row.label for row in kept if row.label)
    classes = tuple(sorted(set(names.values())))
    number = {label: classes.index(name) for label, name in names.items()}
    columns = dict.fromkeys(name for row in kept for name in row.attributes)
    attributes = {name: tuple(row.attributes.get(name, "") for row in kept) for name in columns}
    if parts.COLUMN in attributes:
        attributes[parts.COLUMN] = parts.spelled(attributes[parts.COLUMN])
    groups, more = groups_of(kept)
    problems += [*more, *(Problem("labels", text, Kind.LABEL) for text in said)]
    records = Records(
        source=found.source,
        layout=found.layout,
        paths=tuple(row.path for row in kept),
        ids=tuple(rows),
        labels=np.array([number[row.label] if row.label else -1 for row in kept], dtype=np.int64),
        classes=classes,
        groups=groups,
        attributes=attributes,
        problems=tuple(problems),
    )
    records = join_twins(records)
    if records.layout in ("ham10000", "isic 2018", "isic 2019"):  # the latter two hold HAM10000's images
        return join_groups(records, ham10000_pairs(), PAIRS_SOURCE)
    return records
