"""Arrays of images: MedMNIST's .npz and HDF5, ISIC 2024's HDF5 of encoded images."""

import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dermssl.data.formats import UnreadableImage
from dermssl.data.layouts.classes import CLASSES
from dermssl.data.layouts.names import is_image
from dermssl.data.records import Kind, Problem
from dermssl.data.sources import pixels
from dermssl.data.sources.container import DAMAGE, MAX_TABLE_BYTES, Container, Contents, Member, damage_said
from dermssl.data.sources.extras import extra
from dermssl.data.sources.named import Part, check_images, classes_of, columns_of, parts_of, rows_of, texts_of, unused
from dermssl.data.sources.names import clean
from dermssl.data.sources.spool import Spool
from dermssl.data.sources.tables import as_csv
from dermssl.errors import DermsslError

# DermaMNIST numbers HAM10000's classes in the order of their codes (medmnist/info.py, version 3).
NAMED = {"dermamnist": CLASSES}


class NpzArrays(Container):
    """A .npz with ``train_images``, ``train_labels``, the same of ``val`` and ``test``; or other names of `parts_of`.

    Its arrays are mostly compressed as a whole, so they are unpacked to a temporary file once one is asked for.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        self._spool: Spool | None = None
        with damage_said(path, *DAMAGE):
            self._zip = zipfile.ZipFile(path)

    def contents(self) -> Contents:
        found, rows, self._shapes = Contents(), [], {}
        names = {name.removesuffix(".npy") for name in self._zip.namelist() if name.endswith(".npy")}
        parts = parts_of(names.__contains__)
        if not parts:
            raise DermsslError(
                f"{self.path}: no arrays train_images, val_images, test_images or images; it has "
                f"{', '.join(sorted(names))}"
            )
        shapes = {name: self._shape(name) for name in sorted(names)}
        labelled = NAMED.get(self.path.stem.split("_")[0].lower(), ())
        for part in parts:
            shape, dtype = shapes[part.images]
            check_images(self.path, part.images, dtype, shape)
            self._shapes[part.images] = shape
            values = self._values(part.labels, shape[0]) if part.labels in names else None
            texts = [
                labelled[int(value)] if value is not None and value.isdigit() and int(value) < len(labelled) else value
                for value in classes_of(values, shape[0])
            ]
            further = {column: self._values(name, shape[0]) for column, name in columns_of(part, shapes).items()}
            rows += rows_of(found, part, shape, texts, further)
        found.problems += unused(self.path, parts, shapes)
        found.tables["table.csv"] = as_csv(rows)
        return found

    def _shape(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        with damage_said(self.path, *DAMAGE), self._zip.open(f"{name}.npy") as file:
            shape, _, dtype = _header(file)
        return shape, dtype

    def read(self, key: object) -> bytes:
        assert isinstance(key, tuple)
        images, number = key
        shape = self._shapes[images]
        before = 0
        for name, other in self._shapes.items():
            if name == images:
                break
            before += other[0]
        data = self._spooled().read(before + number)
        return pixels.of_array(np.frombuffer(data, np.uint8).reshape(shape[1:]))

    def _spooled(self) -> Spool:
        with self._lock:
            if self._spool is None:
                spool = Spool(self.path, sum(int(np.prod(shape)) for shape in self._shapes.values()))
                try:
                    for name in self._shapes:
                        with self._zip.open(f"{name}.npy") as file:
                            spool.stream(_rows(file, self._shapes[name]))
                except (*DAMAGE, OSError) as error:
                    raise DermsslError(f"{self.path} is damaged: {error}; copy or download it again") from error
                self._spool = spool
        return self._spool

    def _values(self, name: str, count: int) -> list[str | None]:
        info = self._zip.getinfo(f"{name}.npy")
        if info.file_size > MAX_TABLE_BYTES:
            raise DermsslError(f"{self.path}: {name} takes more than {MAX_TABLE_BYTES / 2**20:,.0f} MiB")
        with damage_said(self.path, *DAMAGE), self._zip.open(info) as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
        return texts_of(self.path, name, values, count)


class Hdf5Images(Container):
    """An HDF5 file with an encoded image (or an array of pixels) under each name, as ISIC 2024; or arrays of all."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        h5py: Any = extra("h5py", str(path))
        self._lock = threading.Lock()
        with damage_said(path, ValueError, KeyError, RuntimeError):
            self._file = h5py.File(path, "r")

    def contents(self) -> Contents:
        found = Contents()
        with damage_said(self.path, ValueError, KeyError, RuntimeError):
            if arrays := parts_of(lambda key: (value := self._dataset(key)) is not None and _is_stack(value.shape)):
                return self._arrays(arrays, found)
            for key, value in self._sets(self._file):  # 400,000 in ISIC 2024's: each is opened once
                name = clean(key)
                if value is None or name is None or not (_is_stack(value.shape) or _may_be_image(value)):
                    found.others.append(key)
                    continue
                if _is_stack(value.shape):
                    raise DermsslError(
                        f"{self.path}: {key} is an array {value.shape}: name it images (and that of the classes "
                        "labels) if it holds images"
                    )
                found.images[name if is_image(name) else f"{name}.jpg"] = Member((key, None))
            if not found.images:
                raise DermsslError(
                    f"{self.path}: no image, and no array called images, train_images or train/images; it has "
                    f"{', '.join(sorted(self._file)[:10]) or 'nothing'}"
                )
        return found

    def _arrays(self, parts: list[Part], found: Contents) -> Contents:
        rows = []
        folders = {key for key in self._file if self._dataset(key) is None}
        of_parts = [part.word for part in parts if part.word in folders]
        inside = [f"{word}/{key}" for word in of_parts for key in self._file[word]]
        sets = {name: self._dataset(name) for name in (*self._file, *inside)}
        shapes = {name: (value.shape, value.dtype) for name, value in sets.items() if value is not None}
        for part in parts:
            array = sets[part.images]
            check_images(self.path, part.images, array.dtype, array.shape)
            texts = {
                name: texts_of(self.path, name, sets[name][()], len(array))
                for name in (part.labels, *columns_of(part, shapes).values())
                if name in shapes
            }
            further = {column: texts[name] for column, name in columns_of(part, shapes).items()}
            classes = classes_of(texts.get(part.labels), len(array))
            rows += rows_of(found, part, array.shape, classes, further)
        found.problems += unused(self.path, parts, shapes)
        found.problems += [
            Problem(f"{self.path.name}/{name}", "a group that is not read: it is no part", Kind.LEFT_OUT)
            for name in sorted(folders - set(of_parts))
        ]
        found.tables["table.csv"] = as_csv(rows)
        return found

    def _sets(self, group: Any, above: str = "", depth: int = 4) -> Iterator[tuple[str, Any]]:
        """The data sets by their paths: ``mel/a.jpg`` of the group mel; None for one without a shape."""
        for key in group:
            value = group.get(key)
            if hasattr(value, "keys") and depth:
                yield from self._sets(value, f"{above}{key}/", depth - 1)
            else:
                yield f"{above}{key}", _with_shape(value)

    def _dataset(self, key: str) -> Any:
        """What lies under a name, if it is a data set with a shape; None for a group or nothing."""
        return _with_shape(self._file.get(key))

    def read(self, key: object) -> bytes:
        assert isinstance(key, tuple)
        name, number = key
        try:
            with self._lock:
                value = self._file[name][()] if number is None else self._file[name][number]
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise UnreadableImage(f"damaged in {self.path.name}: {error}") from error
        if isinstance(value, bytes):
            return value
        array = np.asarray(value)
        if array.dtype.kind == "V" or (array.dtype == np.uint8 and array.ndim == 1):
            return array.tobytes()
        return pixels.of_array(array)


def _with_shape(value: Any) -> Any:
    """An HDF5 data set that has a shape; None for a group, an empty data set or nothing."""
    return value if hasattr(value, "dtype") and value.shape is not None else None


def _is_stack(shape: tuple[int, ...]) -> bool:
    """Whether an HDF5 data set is an array of many images rather than one."""
    return len(shape) == 4 or (len(shape) == 3 and shape[2] not in (1, 3, 4))


def _may_be_image(value: Any) -> bool:
    """Whether an HDF5 data set may be one image: its file's bytes, or its pixels."""
    return len(value.shape) in (2, 3) or (value.dtype.kind in "VSO" and not value.shape) or value.dtype == np.uint8


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is in Fortran order, and type of an array."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _rows(file: BinaryIO | Any, shape: tuple[int, ...]) -> Iterator[bytes]:
    if _header(file)[1]:
        raise ValueError("arrays in Fortran order are not read")
    size = int(np.prod(shape[1:]))
    for _ in range(shape[0]):
        piece = file.read(size)
        if len(piece) < size:
            raise EOFError("cut short")
        yield piece
