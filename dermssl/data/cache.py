"""The cache: every image decoded once, in one uint8 memory map that training and evaluation read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermssl.data import cache_files
from dermssl.data.records import Problem, Records


@dataclass(frozen=True, eq=False)
class Cache:
    """A prepared data set.

    Attributes:
        path: its folder.
        images: (N, S, S, 3) uint8, a read-only memory map.
        size: S, the edge length in pixels.
        fit: "squash" or "crop", how the images were made square.
        records: who the N images are, in the same order.
        content_hash: sha256 over ids, labels, groups and file contents.
    """

    path: Path
    images: np.memmap
    size: int
    fit: str
    records: Records
    content_hash: str

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Missing, unreadable and duplicate images, as listed in problems.csv."""
        return self.records.problems


def source_size(image_size: int) -> int:
    """The edge length to keep in the cache for training at ``image_size``: 9/8 of it, up to a multiple of 8."""
    return -(-image_size * 9 // 64) * 8


def open_cache(path: str | Path) -> Cache:
    """Open a folder written by `dermssl.data.prepare.prepare`.

    Raises:
        DermsslError: it is no cache, an unfinished or a damaged one.
    """
    folder = Path(path).expanduser()
    manifest = cache_files.read_manifest(folder)
    records, _ = cache_files.read_records_table(folder, manifest)
    images = cache_files.read_images(folder, manifest)
    return Cache(folder, images, manifest["size"], manifest["fit"], records, manifest["content_hash"])
