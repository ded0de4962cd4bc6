"""The images that activation maps are made of, at their own resolution and as the networks see them."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermssl.backbones.facts import Framing
from dermssl.data.cache import Cache, open_cache
from dermssl.data.cache_files import is_cache
from dermssl.data.columns import Columns
from dermssl.data.decode import decode, decode_whole
from dermssl.data.formats import UnreadableImage
from dermssl.data.layouts.names import is_image
from dermssl.data.opener import FILES, Opener
from dermssl.data.read import path_of, read_records, renamed_cache
from dermssl.data.records import Records
from dermssl.data.resize import smaller_square
from dermssl.errors import DermsslError

LOGGER = logging.getLogger("dermssl")

Shape = tuple[int, Framing]  # edge in pixels of a square, and how the image became one
Candidate = tuple[str, str, Callable[[], np.ndarray], Callable[[int, Framing], np.ndarray]]


@dataclass(frozen=True)
class CamImages:
    """The images that were looked at.

    Attributes:
        ids: (N,) their names.
        labels: (N,) name of the class, "" where unknown.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    _read: tuple[Callable[[], np.ndarray], ...]

    def __len__(self) -> int:
        return len(self.ids)

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 at the image's own resolution, read when asked for."""
        return self._read[index]()


def choose(
    data: Any, limit: int, shapes: set[Shape], *, drawn_by: int | None = None
) -> tuple[CamImages, dict[Shape, np.ndarray]]:
    """Some readable images, and all of them as squares of the given shapes, (N, S, S, 3) uint8.

    Args:
        data: an image file, a data set, `Columns` around one, or an open cache.
        limit: how many: each class in turn, or where ``drawn_by`` is a seed, a random draw.

    Raises:
        DermsslError: none of them can be read.
    """
    ids: list[str] = []
    labels: list[str] = []
    readers: list[Callable[[], np.ndarray]] = []
    squares: dict[Shape, list[np.ndarray]] = {shape: [] for shape in shapes}
    bad: list[str] = []
    for name, label, whole, square in _candidates(data, drawn_by):
        if len(ids) == limit:
            break
        try:
            one = {shape: square(*shape) for shape in shapes}
        except UnreadableImage as error:
            bad.append(f"{name}: {error}")
            LOGGER.warning("%s: %s; left out", name, error)
            continue
        for shape, pixels in one.items():
            squares[shape].append(pixels)
        ids.append(name)
        labels.append(label)
        readers.append(whole)
    if not ids:
        raise DermsslError(f"{data}: none of its images can be read ({bad[0]}; {len(bad)} tried); give others")
    stacked = {shape: np.stack(images) for shape, images in squares.items()}
    return CamImages(tuple(ids), tuple(labels), tuple(readers)), stacked


def own_fit(data: Any) -> Framing | None:
    """How the images of a prepared cache became square, whatever the weights ask for; None where ``data`` is files."""
    path, given = path_of(data), data.data if isinstance(data, Columns) else data
    if isinstance(given, Cache):
        return given.fit
    return open_cache(path).fit if path is not None and is_cache(path) else None


def _candidates(data: Any, drawn_by: int | None) -> Iterator[Candidate]:
    """Name, class, reader of the whole image, reader of the square that the evaluations see; one for each image."""
    path, given = path_of(data), data.data if isinstance(data, Columns) else data
    if isinstance(given, Cache) or (path is not None and is_cache(path)):
        cache = renamed_cache(given if isinstance(given, Cache) else open_cache(given), data)
        for row in _order(cache.records, drawn_by):
            yield _of_cache(cache, row)
        return
    if path is not None and path.is_file() and is_image(path):
        if isinstance(data, Columns):
            raise DermsslError(f"--label and --group: {path} is one image, without a table; leave them out")
        yield _of_file(path, path.name, "")
        return
    records = read_records(data)
    for row in _order(records, drawn_by):
        yield _of_file(records.paths[row], records.ids[row], _label(records, row), records.opener)


def _of_file(path: Path, name: str, label: str, opener: Opener = FILES) -> Candidate:
    return name, label, lambda: decode_whole(opener.read(path)), partial(_square, path, opener)


def _square(path: Path, opener: Opener, size: int, fit: Framing) -> np.ndarray:
    return decode(opener.read(path), size, fit, resize="bilinear")


def _of_cache(cache: Cache, row: int) -> Candidate:
    name, label = cache.records.ids[row], _label(cache.records, row)
    return name, label, lambda: np.array(cache.images[row]), lambda size, _: _fit(cache.images[row], size)


def _fit(pixels: np.ndarray, size: int) -> np.ndarray:
    if len(pixels) <= size:  # a cache with smaller images is used as it is, as in the evaluations
        return np.array(pixels)
    return np.asarray(smaller_square(Image.fromarray(pixels), size, "bilinear"))


def _label(records: Records, row: int) -> str:
    return records.classes[records.labels[row]] if records.labels[row] >= 0 else ""


def _order(records: Records, drawn_by: int | None) -> list[int]:
    """All rows: at random, or in their order with one of each class after the other, so that a few show all classes."""
    if drawn_by is not None:
        return np.random.default_rng(drawn_by).permutation(len(records)).tolist()
    place: dict[int, int] = {}
    order = []
    for row, label in enumerate(records.labels.tolist()):
        place[label] = place.get(label, -1) + 1
        order.append((place[label], label, row))
    return [row for *_, row in sorted(order)]
