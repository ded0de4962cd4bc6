"""The cache: every image decoded once, in one uint8 memory map that training and evaluation read."""

import functools
import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermssl.data import cache_files
from dermssl.data.records import Problem, Records
from dermssl.errors import DermsslError
from dermssl.options import Fit

LOGGER = logging.getLogger("dermssl")

# Up to here all pixels are checked when a cache is opened first: 0.5 s per gigabyte that is in memory, and what comes
# next reads them anyway. Of a larger cache a share of this size, evenly spread, is checked.
CHECKED_BYTES = 4 * 2**30


@dataclass(frozen=True, eq=False)
class Cache:
    """A prepared data set.

    Attributes:
        path: its folder.
        images: (N, S, S, 3) uint8, a read-only memory map; that of a part of a cache is in memory.
        size: S, the edge length in pixels.
        fit: "squash" or "crop", how the images were made square.
        resize: how the images were resized: "bicubic" by `prepare` and for training, "bilinear" for an evaluation; of
            a reduced cache both, in words.
        records: who the N images are, in the same order.
        content_hash: sha256 over ids, labels, groups and file contents.
        hashes: (N,) sha256 of each image's file.
        aspects: (N,) float64, width / height of each photograph as displayed, 1 for fit "crop"; None where a cache of
            dermssl 0.1.0 does not know.
        views: the same images larger, for a training to cut its views from; None where they are these.
    """

    path: Path
    images: npt.NDArray[np.uint8]
    size: int
    fit: Fit
    resize: str
    records: Records
    content_hash: str
    hashes: tuple[str, ...]
    aspects: npt.NDArray[np.float64] | None
    views: "Cache | None" = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Missing, unreadable and duplicate images, as listed in problems.csv."""
        return self.records.problems

    def select(self, index: npt.NDArray[np.integer]) -> "Cache":
        """A cache of the images at ``index`` (M,), in memory; its content hash is made of the whole's and the index."""
        return replace(
            self,
            images=self.images[index],
            records=self.records.select(index),
            content_hash=hashlib.sha256(f"{self.content_hash} {index.tolist()}".encode()).hexdigest(),
            hashes=tuple(self.hashes[i] for i in index.tolist()),
            aspects=None if self.aspects is None else self.aspects[index],
            views=None if self.views is None else self.views.select(index),
        )


def source_size(image_size: int) -> int:
    """The edge length to keep in the cache for training at ``image_size``: 9/8 of it, up to a multiple of 8."""
    return -(-image_size * 9 // 64) * 8


def open_cache(path: str | Path) -> Cache:
    """Open a folder written by `dermssl.data.prepare.prepare`.

    Raises:
        DermsslError: it is not a cache, or an unfinished or damaged one.
    """
    folder = Path(path).expanduser()
    manifest = cache_files.read_manifest(folder)
    records, rows = cache_files.read_records_table(folder, manifest)
    images = cache_files.read_images(folder, manifest)
    state = (folder / cache_files.IMAGES).stat()
    _check_pixels(folder, images, tuple(rows), (state.st_ino, state.st_size, state.st_mtime_ns))
    known = [row.aspect for row in rows if row.aspect is not None]
    if len(known) < len(rows):
        _warn_of_shapes(folder)
    return Cache(
        path=folder,
        images=images,
        size=manifest["size"],
        fit=manifest["fit"],
        resize=manifest.get("resize", "bicubic"),
        records=records,
        content_hash=manifest["content_hash"],
        hashes=tuple(row.sha256 for row in rows),
        aspects=np.array(known) if len(known) == len(rows) else None,
    )


_checked: set[tuple[Path, tuple[int, ...]]] = set()


def _check_pixels(
    folder: Path, images: np.memmap, rows: tuple[cache_files.Row, ...], state: tuple[int, int, int]
) -> None:
    """Once in a process for each state of the file: an evaluation opens the same cache many times."""
    if (folder.absolute(), state) in _checked:
        return
    step = max(1, -(-images.nbytes // CHECKED_BYTES))
    altered = cache_files.first_altered(images[::step], rows[::step])
    if altered is not None:
        raise DermsslError(
            f"{folder / cache_files.IMAGES} is damaged (the pixels of image {altered * step + 1} are not those "
            f"that were written); delete {folder} and prepare it again"
        )
    _checked.add((folder.absolute(), state))


@functools.cache  # once a process
def _warn_of_shapes(folder: Path) -> None:
    LOGGER.warning(
        "%s was prepared by an earlier version of dermssl and does not know the shapes of its photographs: they are "
        "taken as square, so that views of wide ones are stretched; prepare it again from the original files",
        folder,
    )
