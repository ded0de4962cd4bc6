"""TFRecords of tf.train.Example, as TensorFlow Datasets and Kaggle's kernels write them, read without TensorFlow."""

import os
import re
import struct
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from dermssl.data.formats import UnreadableImage
from dermssl.data.layouts.names import is_image
from dermssl.data.records import Kind, Problem
from dermssl.data.sources.container import MAX_IMAGE_BYTES, Container, Contents, Member, damage_said
from dermssl.data.sources.names import clean
from dermssl.data.sources.tables import IDS, as_csv, label_column, split_of, split_of_file, with_label
from dermssl.errors import DermsslError

_NAME = re.compile(r"\.(tfrec|tfrecords?)(-\d+-of-\d+)?$", re.IGNORECASE)
_ENCODED = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_FILE_NAMES = ("image/filename", "filename", "file_name", "image/file_name")

Value = bytes | list[int] | list[float]
Span = tuple[int, int]


def is_tfrecord(name: str) -> bool:
    """Whether a file is one by its name: ``a.tfrec``, ``skin-train.tfrecord-00000-of-00001``."""
    return bool(_NAME.search(name))


class TfRecords(Container):
    """The TFRecord files of one data set. One pass finds where the images lie; then they are read in any order."""

    def __init__(self, path: Path, files: tuple[Path, ...] = ()) -> None:
        super().__init__(path, files)
        self._lock = threading.Lock()
        self._open: dict[int, BinaryIO] = {}

    def contents(self) -> Contents:
        found, rows, left_out = Contents(), [], set[str]()
        for number, path in enumerate(self.files):
            with damage_said(path, ValueError, struct.error, IndexError), open(path, "rb") as file:
                for index, (start, record) in enumerate(_records(file, path)):
                    cells, image, others = _example(record)
                    left_out |= others
                    if image is None:
                        raise DermsslError(f"{path}: no encoded image in its records; they hold {', '.join(cells)}")
                    own = next((str(cells[name]) for name in IDS if cells.get(name)), None)
                    stored = next((str(cells[name]) for name in _FILE_NAMES if cells.get(name)), None)
                    name = clean(own or (PurePosixPath(stored).name if stored else "")) or f"{number}-{index:07d}"
                    name = name if is_image(name) else f"{name}.jpg"
                    if name in found.images:
                        name, own = f"{number}-{index:07d}-{name}", None
                    found.images[name] = Member((number, start + image[0], image[1] - image[0]), image[1] - image[0])
                    split = _split(path.name) or split_of_file(path, self.path)
                    cells |= {"split": split} if split and "split" not in cells else {}
                    rows.append(cells if own else {**cells, "image": name})
        found.problems += [
            Problem(name, "a feature with several values, or a further image: left out", Kind.LEFT_OUT)
            for name in sorted(left_out)
        ]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        rows = _with_class_names(rows, columns, self.files[0].parent)
        label = label_column(columns)
        found.tables["tfrecords.csv"] = as_csv([with_label(row, label) for row in rows])
        return found

    def read(self, key: object) -> bytes:
        assert isinstance(key, tuple)
        number, start, size = key
        with self._lock:
            if number not in self._open:
                self._open[number] = open(self.files[number], "rb")  # noqa: SIM115 - as long as the records are there
            self._open[number].seek(start)
            data = self._open[number].read(size)
        if len(data) < size:
            raise UnreadableImage(f"{self.files[number].name} is cut short")
        return data


def _records(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each record begins in the file, and its bytes; length (8 bytes), checksum (4), bytes, checksum (4)."""
    left = os.fstat(file.fileno()).st_size
    while left:
        header = file.read(12)
        if header[:2] == b"\x1f\x8b":
            raise DermsslError(f"{path} is compressed, so its images cannot be read in any order: write it plain")
        if len(header) < 12:
            raise ValueError("cut short")
        size = struct.unpack("<Q", header[:8])[0]
        left -= 12 + size + 4
        if left < 0 or size > 2 * MAX_IMAGE_BYTES:
            raise ValueError("cut short, or not TFRecords")
        start = file.tell()
        yield start, file.read(size)
        file.seek(4, os.SEEK_CUR)


def _example(record: bytes) -> tuple[dict[str, object], Span | None, set[str]]:
    """The plain features of a tf.train.Example, where in the record its image lies, and the names of the others."""
    cells: dict[str, object] = {}
    several: set[str] = set()
    images: dict[str, Span] = {}
    for features in _fields(record, 0, len(record)):
        for entry in _fields(record, *features[1]) if features[0] == 1 else ():
            parts = dict(_fields(record, *entry[1]))
            name = record[slice(*parts[1])].decode("utf-8", "replace")
            value = _feature(record, parts[2]) if 2 in parts else None
            if isinstance(value, list):
                several |= {name} if value else set()
            elif isinstance(value, tuple):
                head = record[value[0] : value[0] + 12]
                if head.startswith(_ENCODED):
                    images[name] = value
                else:
                    text = record[slice(*value)][:1000]
                    cells[name] = text.decode("utf-8", "replace") if b"\0" not in text else None
            elif value is not None:
                cells[name] = value
    names = sorted(images, key=lambda name: (name.split("/")[0] not in ("image", "img"), name))
    return cells, images[names[0]] if names else None, several | set(names[1:])


def _feature(record: bytes, span: Span) -> Span | int | float | list[Span | int | float] | None:
    """A feature of one value: the place of its bytes, or its number; all of them where it has none or several."""
    for kind, (start, end) in _fields(record, *span):
        values: list[Span | int | float] = []
        position = start
        while position < end:
            tag, position = _varint(record, position)
            if tag & 7 == 2:
                size, position = _varint(record, position)
                inside = (position, position + size)
                values += [inside] if kind == 1 else _packed(record, kind, inside)
                position += size
            elif tag & 7 == 5:
                values.append(struct.unpack_from("<f", record, position)[0])
                position += 4
            else:
                number, position = _varint(record, position)
                values.append(_signed(number))
        return values[0] if len(values) == 1 else values
    return None


def _packed(record: bytes, kind: int, span: Span) -> list[Span | int | float]:
    start, end = span
    if kind == 2:
        return list(struct.unpack_from(f"<{(end - start) // 4}f", record, start))
    values: list[Span | int | float] = []
    while start < end:
        number, start = _varint(record, start)
        values.append(_signed(number))
    return values


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, Span]]:
    """The length-delimited fields of a protocol buffer message: number and span; others are skipped."""
    while start < end:
        tag, start = _varint(data, start)
        if tag & 7 == 2:
            size, start = _varint(data, start)
            if start + size > end:
                raise ValueError("not a tf.train.Example")
            yield tag >> 3, (start, start + size)
            start += size
        elif tag & 7 == 0:
            _, start = _varint(data, start)
        elif tag & 7 in (1, 5):
            start += 8 if tag & 7 == 1 else 4
        else:
            raise ValueError("not a tf.train.Example")


def _varint(data: bytes, start: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
        if shift > 63:
            raise ValueError("not a tf.train.Example")


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _split(name: str) -> str:
    """TFDS puts the data set's name before the split: ``skin-train.tfrecord-00000-of-00001``."""
    stem = _NAME.sub("", name)
    return split_of(stem) or split_of(stem.split("-")[-1])


def _with_class_names(rows: list[dict[str, object]], columns: list[str], folder: Path) -> list[dict[str, object]]:
    """Numbers of classes by their names, where TFDS wrote ``label.labels.txt``."""
    for column in columns:
        path = folder / f"{column.replace('/', '_')}.labels.txt"
        if path.is_file():
            names = path.read_text(encoding="utf-8").split("\n")
            known = [name for name in names if name]
            for row in rows:
                value = row.get(column)
                row[column] = known[value] if isinstance(value, int) and 0 <= value < len(known) else None
    return rows
