"""The files of a prepared cache: what is in them, and how they are written and read back."""

import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dermssl.data.records import Kind, Problem, Records
from dermssl.errors import DermsslError
from dermssl.files import replaced_file

MANIFEST, IMAGES, RECORDS, PROBLEMS = "manifest.json", "images.npy", "records.csv", "problems.csv"
UNFINISHED = "unfinished"  # folder inside the output: whatever is in it is not yet a cache
FORMAT, VERSION = "dermssl cache", 1
HEADER_BYTES = 128  # of images.npy; fixed, so that rows have their place before their number is known


def is_cache(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def relative_path(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix() if path.is_relative_to(source) else path.as_posix()


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The first ``HEADER_BYTES`` of a ``.npy`` file (format 1.0) of uint8."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(HEADER_BYTES - 11) + "\n"
    return np.lib.format.magic(1, 0) + (HEADER_BYTES - 10).to_bytes(2, "little") + text.encode("latin1")


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Replace ``path`` by a table, whole or not at all."""
    with replaced_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def table_rows(records: Records, hashes: list[str]) -> list[list[str]]:
    """``records`` as the rows of records.csv, header first."""
    header = ["id", "path", "label", "group", "sha256", *(f"attribute:{name}" for name in records.attributes)]
    rows = [header]
    for i, (image, path) in enumerate(zip(records.ids, records.paths, strict=True)):
        label = records.classes[records.labels[i]] if records.labels[i] >= 0 else ""
        group = records.groups[i] if records.groups is not None else ""
        extra = [texts[i] for texts in records.attributes.values()]
        rows.append([image, relative_path(path, records.source), label, group, hashes[i], *extra])
    return rows


def problem_rows(problems: Iterable[Problem]) -> list[tuple[str, str, str]]:
    """``problems`` as the rows of problems.csv, header first."""
    return [("path", "reason", "kind"), *((problem.path, problem.reason, problem.kind) for problem in problems)]


def _problem(path: str, reason: str, kind: str | None = None) -> Problem:
    """A row of problems.csv; dermssl 0.1.0 wrote no kinds, and only the copies it found are asked for by theirs."""
    if kind is None:
        kind = Kind.COPY if reason.startswith("byte for byte the same as ") else Kind.OTHER
    return Problem(path, reason, Kind(kind))


def hash_rows(rows: list[list[str]], size: int, fit: str) -> str:
    """sha256 over what the images are (ids, labels, groups, file contents) and how they were resized."""
    digest = hashlib.sha256(json.dumps([FORMAT, VERSION, size, fit]).encode())
    for row in rows:
        digest.update(json.dumps([row[0], *row[2:]]).encode())
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the cache in ``folder``, checked.

    Raises:
        DermsslError: there is none, or it is damaged, or another version of dermssl wrote it.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        unfinished = " (an unfinished one: run dermssl prepare again to finish it)"
        more = unfinished if (folder / UNFINISHED).is_dir() else ""
        raise DermsslError(f"{folder} is no prepared cache: {MANIFEST} is missing{more}") from None
    except (OSError, ValueError) as error:
        raise DermsslError(f"{path} is damaged ({error}); delete {folder} and prepare it again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DermsslError(f"{path} is not the manifest of a prepared cache; name a folder made by dermssl prepare")
    if manifest.get("version") != VERSION:
        raise DermsslError(
            f"{path}: version {manifest.get('version')!r}, where {VERSION} is read; prepare the cache again"
        )
    kinds = {"size": int, "fit": str, "images": int, "content_hash": str, "request": str, "source": str}
    wrong = [name for name, kind in kinds.items() if not isinstance(manifest.get(name), kind)]
    if wrong or not isinstance(manifest.get("classes"), list):
        raise DermsslError(f"{path} is damaged (no valid {', '.join(wrong) or 'classes'}); prepare the cache again")
    return manifest


def read_images(folder: Path, manifest: dict[str, Any]) -> np.memmap:
    path = folder / IMAGES
    shape = (manifest["images"], manifest["size"], manifest["size"], 3)
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise DermsslError(f"{path} is damaged ({error}); delete {folder} and prepare it again") from error
    if not isinstance(images, np.memmap) or images.shape != shape or images.dtype != np.uint8:
        raise DermsslError(
            f"{path} holds {images.dtype} {images.shape} where its manifest says uint8 {shape}; "
            f"delete {folder} and prepare it again"
        )
    return images


def read_records_table(folder: Path, manifest: dict[str, Any]) -> tuple[Records, list[str]]:
    """The records of a cache and the sha256 of each image's file."""
    path = folder / RECORDS
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        columns: dict[str, tuple[str, ...]] = dict(zip(header, zip(*rows, strict=True), strict=True))
        ids, files, hashes = columns["id"], columns["path"], columns["sha256"]
        classes = tuple(manifest["classes"])
        number = {name: index for index, name in enumerate(classes)} | {"": -1}
        labels: npt.NDArray[np.int64] = np.array([number[name] for name in columns["label"]], dtype=np.int64)
        if len(ids) != manifest["images"]:
            raise ValueError(f"{len(ids)} rows for {manifest['images']} images")
        if hash_rows([header, *rows], manifest["size"], manifest["fit"]) != manifest["content_hash"]:
            raise ValueError("its rows do not give the content hash of the manifest")
        with open(folder / PROBLEMS, encoding="utf-8", newline="") as file:
            problems = tuple(_problem(*row) for row in list(csv.reader(file))[1:])
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DermsslError(f"{path} is damaged ({error}); delete {folder} and prepare it again") from error
    source = Path(manifest["source"])
    records = Records(
        source=source,
        layout=str(manifest.get("layout", "prepared cache")),
        paths=tuple(source / name for name in files),
        ids=ids,
        labels=labels,
        classes=classes,
        groups=columns["group"] if manifest.get("grouped") else None,
        attributes={n.split(":", 1)[1]: texts for n, texts in columns.items() if n.startswith("attribute:")},
        problems=problems,
    )
    return records, list(hashes)
