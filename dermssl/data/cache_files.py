"""The files of a prepared cache: what is in them, and how they are written and read back."""

import csv
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dermssl.csv_rows import write_rows
from dermssl.data.mapped import MappedImages
from dermssl.data.records import Kind, Problem, Records
from dermssl.documents import MissingDocument, damaged, fault_of, read_json, unreadable
from dermssl.errors import DermsslError
from dermssl.files import replaced_file
from dermssl.regular import open_regular, read_regular

MANIFEST, IMAGES, RECORDS, PROBLEMS = "manifest.json", "images.npy", "records.csv", "problems.csv"
UNFINISHED = "unfinished"  # folder inside the output: whatever is in it is not yet a cache
# Version 2 knows the photographs' aspect ratios and has checksums of everything.
FORMAT, VERSION, READ_VERSIONS = "dermssl cache", 2, (1, 2)
HEADER_BYTES = 128  # of images.npy; fixed, so that rows have their place before their number is known
_TABLE_BYTES = 2**31  # 4 million images with 500 characters each
_SCHEMA = {
    "size": int,
    "fit": str,
    "images": int,
    "content_hash": str,
    "request": str,
    "source": str,
    "classes": [str],
    "layout?": str,
    "grouped?": bool,
    "resize?": str,
    "unreadable?": int,
    "sha256?": {str: str},
}


class Row(NamedTuple):
    """What a cache knows of an image besides its record: of its file, its shape and its pixels."""

    sha256: str  # of the file
    aspect: float | None  # width / height of the photograph as displayed, 1 where the square was cut out of it
    crc32: str  # of the pixels in images.npy, 8 hexadecimal digits; "" in version 1


def is_cache(folder: Path) -> bool:
    """Whether a folder holds a prepared cache, whole or damaged; somebody else's manifest.json does not make one."""
    try:
        if not (folder / MANIFEST).is_file():
            return False
        if (folder / IMAGES).exists():  # not opened: whoever reads it says what the system says
            return True
        with open_regular(folder / MANIFEST) as file:
            return FORMAT.encode() in file.read(65536)
    except (OSError, ValueError):  # a name that is too long or holds NUL
        return False


def relative_path(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix() if path.is_relative_to(source) else path.as_posix()


def checksum(pixels: npt.NDArray[np.uint8]) -> str:
    """crc32 of an image: 2.3 GB/s on a core of an EPYC with AVX512, where sha256 does 0.8."""
    return f"{zlib.crc32(np.ascontiguousarray(pixels).data):08x}"


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The first ``HEADER_BYTES`` of a ``.npy`` file (format 1.0) of uint8."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(HEADER_BYTES - 11) + "\n"
    return np.lib.format.magic(1, 0) + (HEADER_BYTES - 10).to_bytes(2, "little") + text.encode("latin1")


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> str:
    """Replace ``path`` by a table, whole or not at all; returns the sha256 of the file."""
    text = io.StringIO(newline="")
    write_rows(text, rows)
    data = text.getvalue().encode()
    with replaced_file(path) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def table_rows(records: Records, rows: list[Row]) -> list[list[str]]:
    """``records`` as the rows of records.csv, header first."""
    attributes = [f"attribute:{name}" for name in records.attributes]
    table = [["id", "path", "label", "group", "sha256", "aspect", "crc32", *attributes]]
    for i, (image, path) in enumerate(zip(records.ids, records.paths, strict=True)):
        label = records.classes[records.labels[i]] if records.labels[i] >= 0 else ""
        group = records.groups[i] if records.groups is not None else ""
        aspect = "" if rows[i].aspect is None else repr(rows[i].aspect)
        extra = [texts[i] for texts in records.attributes.values()]
        where = relative_path(path, records.source)
        table.append([image, where, label, group, rows[i].sha256, aspect, rows[i].crc32, *extra])
    return table


def problem_rows(problems: Iterable[Problem]) -> list[tuple[str, str, str]]:
    """``problems`` as the rows of problems.csv, header first."""
    return [("path", "reason", "kind"), *((problem.path, problem.reason, problem.kind) for problem in problems)]


def _problem(path: str, reason: str, kind: str | None = None) -> Problem:
    """A row of problems.csv; dermssl 0.1.0 wrote no kinds, and only the copies it found are asked for by theirs."""
    if kind is None:
        kind = Kind.COPY if reason.startswith("byte for byte the same as ") else Kind.OTHER
    return Problem(path, reason, Kind(kind))


def hash_rows(table: list[list[str]], size: int, fit: str) -> str:
    """sha256 over what the images are (ids, labels, groups, file contents) and how they were resized.

    What the files' contents decide anyway (aspect, pixels) is not in it: the hash of a set of images has been the same
    since version 1, whose number it therefore starts with.
    """
    without = {1} | {index for index, name in enumerate(table[0]) if name in ("aspect", "crc32")}
    digest = hashlib.sha256(json.dumps([FORMAT, 1, size, fit]).encode())
    for row in table:
        digest.update(json.dumps([cell for index, cell in enumerate(row) if index not in without]).encode())
    return digest.hexdigest()


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """``manifest`` with the checksum of all its other fields."""
    return {**manifest, "checksum": _seal(manifest)}


def _seal(manifest: dict[str, Any]) -> str:
    fields = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _remedy(folder: Path) -> str:
    return f"delete {folder} and prepare it again"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the cache in ``folder``, checked.

    Raises:
        DermsslError: there is none, or it is damaged, or another version of dermssl wrote it.
    """
    path, what = folder / MANIFEST, "the manifest of a prepared cache"
    try:
        manifest = read_json(path, what, remedy=_remedy(folder))
    except MissingDocument:
        unfinished = " (an unfinished one: run dermssl prepare again to finish it)"
        more = unfinished if (folder / UNFINISHED).is_dir() else ""
        raise DermsslError(f"{folder} is not a prepared cache: {MANIFEST} is missing{more}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DermsslError(f"{path} is not the manifest of a prepared cache; name a folder made by dermssl prepare")
    version = manifest.get("version")
    if version not in READ_VERSIONS:
        raise DermsslError(f"{path}: version {version!r}, where {VERSION} is read; prepare the cache again")
    given = {name: manifest[field] for name in _SCHEMA if (field := name.removesuffix("?")) in manifest}
    wrong = [
        name.removesuffix("?")
        for name, kind in _SCHEMA.items()
        if (not name.endswith("?") or name in given) and fault_of(given.get(name), kind)
    ]
    if wrong:
        raise damaged(path, what, f"no valid {', '.join(wrong)}", _remedy(folder))
    if manifest["size"] < 1 or manifest["images"] < 0:
        raise damaged(path, what, "no valid size or images", _remedy(folder))
    if version > 1 and manifest.get("checksum") != _seal(manifest):
        raise damaged(path, what, "its fields do not match its checksum", _remedy(folder))
    return dict(manifest)


def read_images(folder: Path, manifest: dict[str, Any]) -> np.memmap:
    """The images of a cache, a read-only memory map of its file."""
    path = folder / IMAGES
    shape = (manifest["images"], manifest["size"], manifest["size"], 3)
    try:
        with open_regular(path) as file:
            np.lib.format.read_magic(file)
            there, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            if there != shape or dtype != np.uint8 or fortran:
                raise DermsslError(
                    f"{path} holds {dtype} {there} where its manifest says uint8 {shape}; {_remedy(folder)}"
                )
            return MappedImages(file, dtype=np.uint8, mode="r", offset=file.tell(), shape=shape)
    except FileNotFoundError as error:
        raise damaged(path, "the images of a prepared cache", "the file is missing", _remedy(folder)) from error
    except (ValueError, EOFError) as error:  # too short for its shape
        raise damaged(path, "the images of a prepared cache", str(error), _remedy(folder)) from error
    except (OSError, MemoryError) as error:
        raise _refused(path, error, folder) from error


def read_records_table(folder: Path, manifest: dict[str, Any]) -> tuple[Records, list[Row]]:
    """The records of a cache, and what it knows of each image besides."""
    path = folder / RECORDS
    header, *cells = _read_csv(folder, RECORDS, manifest)
    try:
        columns: dict[str, tuple[str, ...]] = dict(zip(header, zip(*cells, strict=True), strict=True))
        ids, files, hashes = columns["id"], columns["path"], columns["sha256"]
        classes = tuple(manifest["classes"])
        number = {name: index for index, name in enumerate(classes)} | {"": -1}
        labels: npt.NDArray[np.int64] = np.array([number[name] for name in columns["label"]], dtype=np.int64)
        if len(ids) != manifest["images"]:
            raise ValueError(f"{len(ids)} rows for {manifest['images']} images")
        if hash_rows([header, *cells], manifest["size"], manifest["fit"]) != manifest["content_hash"]:
            raise ValueError("its rows do not match the content hash in the manifest")
        aspects = [_aspect(text, manifest["fit"]) for text in columns.get("aspect", ("",) * len(ids))]
        crcs = columns.get("crc32", ("",) * len(ids))
        groups = columns["group"] if manifest.get("grouped") else None
    except KeyError as error:
        raise damaged(path, "the images' records", f"no {error.args[0]!r}", _remedy(folder)) from error
    except (ValueError, TypeError) as error:
        raise damaged(path, "the images' records", str(error), _remedy(folder)) from error
    try:
        problems = tuple(_problem(*row) for row in _read_csv(folder, PROBLEMS, manifest)[1:])
    except (ValueError, TypeError) as error:
        raise damaged(folder / PROBLEMS, "the problems found", str(error), _remedy(folder)) from error
    source = Path(manifest["source"])
    records = Records(
        source=source,
        layout=str(manifest.get("layout", "prepared cache")),
        paths=tuple(source / name for name in files),
        ids=ids,
        labels=labels,
        classes=classes,
        groups=groups,
        attributes={n.split(":", 1)[1]: texts for n, texts in columns.items() if n.startswith("attribute:")},
        problems=problems,
    )
    return records, [Row(*row) for row in zip(hashes, aspects, crcs, strict=True)]


def _aspect(text: str, fit: str) -> float | None:
    if fit == "crop":
        return 1.0
    if not text:
        return None
    aspect = float(text)
    if not 0 < aspect < float("inf"):
        raise ValueError(f"an aspect ratio of {text}")
    return aspect


def _read_csv(folder: Path, name: str, manifest: dict[str, Any]) -> list[list[str]]:
    """The rows of a table of ours, at least its header."""
    path, what = folder / name, "a table of a prepared cache"
    try:
        data = read_regular(path, _TABLE_BYTES)
        wanted = manifest.get("sha256", {}).get(name) if manifest["version"] > 1 else None
        if wanted is not None and hashlib.sha256(data).hexdigest() != wanted:
            raise damaged(path, what, "its bytes do not match the checksum in the manifest", _remedy(folder))
        text = data.decode("utf-8")
        if "\0" in text:
            raise damaged(path, what, "it holds NUL", _remedy(folder))
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except FileNotFoundError as error:
        raise damaged(path, what, "the file is missing", _remedy(folder)) from error
    except (ValueError, csv.Error) as error:  # not UTF-8, not a table
        raise damaged(path, what, str(error), _remedy(folder)) from error
    except (OSError, MemoryError) as error:
        raise _refused(path, error, folder) from error
    if not rows:
        raise damaged(path, what, "it is empty", _remedy(folder))
    return rows


def _refused(path: Path, error: OSError | MemoryError, folder: Path) -> DermsslError:
    """What the system says about a file, which says nothing about what is in it."""
    return unreadable(path, error, _remedy(folder))


def first_altered(images: npt.NDArray[np.uint8], rows: Iterable[Row]) -> int | None:
    """The first image whose pixels do not match their checksum; images of version 1 have none."""
    for index, row in enumerate(rows):
        if row.crc32 and checksum(images[index]) != row.crc32:
            return index
    return None
