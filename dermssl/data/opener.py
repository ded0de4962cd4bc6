"""Where the bytes of an image come from: its own file, or a larger one that holds many."""

from pathlib import Path
from typing import Protocol

from dermssl.data.decode import read_bytes


class Opener(Protocol):
    """Gives the images of a set by their paths, from any number of threads at once."""

    def read(self, path: Path) -> bytes:
        """The encoded image (JPEG, PNG ...) that stands at ``path``.

        Raises:
            UnreadableImage: it is missing, empty, damaged or may not be read.
        """

    def state(self, path: Path) -> tuple[int, int]:
        """Two numbers that change when the image does, found without reading it: size and time of its file."""


class Files:
    """Images that are files of their own."""

    def read(self, path: Path) -> bytes:
        return read_bytes(path)

    def state(self, path: Path) -> tuple[int, int]:
        return file_state(path)


def file_state(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns; -1 where there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


FILES = Files()
