"""From a DATA argument to records: which layout it is, and what its files and tables say."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from dermssl.data.cache import open_cache
from dermssl.data.layouts.classes import normalised
from dermssl.data.layouts.folders import read_folder
from dermssl.data.layouts.found import Found, Row, is_image, need_utf8
from dermssl.data.layouts.search import find_tables
from dermssl.data.layouts.tables import read_folder_with_table, read_table_file, tables_not_read
from dermssl.data.records import Problem, Records, describe
from dermssl.errors import DermsslError

LOGGER = logging.getLogger("dermssl")

LOOKED_FOR = (
    "looked for: a prepared cache (manifest.json); HAM10000_metadata.csv; "
    "ISIC2018_Task3_Training_GroundTruth.csv; ISIC_2019_Training_GroundTruth.csv; "
    "an ISIC 2020 train.csv (image_name, patient_id); a metadata.csv of isic-cli (isic_id); "
    "a CSV with image,label[,group]; a folder per class; image files (jpg, png, bmp, tif, webp) at any depth"
)


def read_records(data: str | Path) -> Records:
    """Find out what ``data`` is and read who its images are. Nothing is decoded.

    Args:
        data: a folder or a table in any layout of docs/data.md, or a prepared cache.

    Raises:
        DermsslError: there is nothing there, no image, or no known layout; names what was looked for.
    """
    source = Path(data).expanduser()
    need_utf8(source)
    if source.is_dir():
        if (source / "manifest.json").exists():
            return replace(open_cache(source).records, layout="prepared cache")
        found = _read_directory(source)
    elif source.is_file() and source.suffix.lower() in {".csv", ".tsv", ".tab"}:
        found = read_table_file(source)
    elif source.is_file():
        kind = "one image" if is_image(source) else "no folder and no table"
        raise DermsslError(f"{source} is {kind}: give the folder that holds the images (archives: unpack first)")
    else:
        raise DermsslError(f"{source} does not exist; give a folder of images, a CSV or a prepared cache")
    records = _records(found)
    LOGGER.info("%s", describe(records))
    return records


def _read_directory(folder: Path) -> Found:
    try:
        if not any(folder.iterdir()):
            raise DermsslError(f"{folder} is empty; {LOOKED_FOR}")
        tables = find_tables(folder)
        found = read_folder_with_table(folder, tables) or read_folder(folder)
        found.problems += tables_not_read(tables, found)
        return found
    except PermissionError as error:
        raise DermsslError(f"{error.filename} cannot be read: no permission") from error


def _records(found: Found) -> Records:
    problems = list(found.problems)
    rows: dict[str, Row] = {}
    for row in found.rows:
        if row.id not in rows:
            rows[row.id] = row
            continue
        other = " with another label" if row.label != rows[row.id].label else ""
        problems.append(Problem(row.id, f"a second row{other}: the first is used"))
    if not rows:
        seen = f"; {len(problems):,} problems, first: {problems[0].path}: {problems[0].reason}" if problems else ""
        raise DermsslError(f"no images in {found.source} (read as {found.layout}){seen}; {LOOKED_FOR}")
    kept = list(rows.values())
    names = normalised({row.label for row in kept if row.label})
    classes = tuple(sorted(set(names.values())))
    number = {label: classes.index(name) for label, name in names.items()}
    columns = dict.fromkeys(name for row in kept for name in row.attributes)
    return Records(
        source=found.source,
        layout=found.layout,
        paths=tuple(row.path for row in kept),
        ids=tuple(rows),
        labels=np.array([number[row.label] if row.label else -1 for row in kept], dtype=np.int64),
        classes=classes,
        groups=_groups(kept),
        attributes={name: tuple(row.attributes.get(name, "") for row in kept) for name in columns},
        problems=tuple(problems),
    )


def _groups(rows: list[Row]) -> tuple[str, ...] | None:
    """The group of each row: everything linked by a lesion or a patient is one group, named by the patient.

    Joined rather than picked row by row, since a table may know the patient of one image of a lesion only.
    """
    if not any(row.lesion or row.patient for row in rows):
        return None
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for row in rows:
        if row.lesion and row.patient:
            parent[root(f"lesion:{row.lesion}")] = root(f"patient:{row.patient}")
    keys = [
        root(f"patient:{row.patient}" if row.patient else f"lesion:{row.lesion}" if row.lesion else f"image:{row.id}")
        for row in rows
    ]
    # A patient and a lesion keep their own names; an image without either is marked, and so is a lesion named like a
    # patient, so that two groups never meet in one name.
    patients = {row.patient for row in rows if row.patient}

    def name(key: str) -> str:
        kind, text = key.split(":", 1)
        return key if kind == "image" or (kind == "lesion" and text in patients) else text

    return tuple(name(key) for key in keys)
