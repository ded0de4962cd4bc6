"""A temporary file without a name, for what can only be read from its beginning."""

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from dermssl.errors import DermsslError
from dermssl.files import size_in_words

LOGGER = logging.getLogger("dermssl")


class Spool:
    """Pieces of bytes, written one after the other and read in any order; gone with the process.

    Args:
        path: of what is unpacked, for the log.
        size: bytes that it will take.
    """

    def __init__(self, path: Path, size: int) -> None:
        where = Path(os.environ.get("DERMSSL_CACHE") or tempfile.gettempdir())
        try:
            where.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(where).free
            if size > free:
                raise DermsslError(
                    f"{path} cannot be read in place: unpacking takes {size_in_words(size)} in {where}, where "
                    f"{size_in_words(free)} are free; free some, or name another folder by $DERMSSL_CACHE"
                )
            self._file = tempfile.TemporaryFile(dir=where)  # noqa: SIM115 - as long as the records are there
        except OSError as error:
            raise DermsslError(
                f"{path} cannot be unpacked to {where}: {error.strerror or error}; set $DERMSSL_CACHE to another"
            ) from error
        self._path, self._where = path, where
        self._places: list[tuple[int, int]] = []
        self._end = 0
        self._lock = threading.Lock()
        LOGGER.info("%s cannot be read in place: %s are unpacked in %s for now", path, size_in_words(size), where)

    def append(self, *pieces: bytes) -> None:
        """Write pieces behind those that are there."""
        self.stream(pieces)

    def stream(self, pieces: Iterable[bytes]) -> None:
        """As `append`, of any number of pieces."""
        try:
            for piece in pieces:
                self._file.write(piece)
                self._places.append((self._end, len(piece)))
                self._end += len(piece)
            self._file.flush()
        except OSError as error:
            raise DermsslError(
                f"{self._path} cannot be unpacked to {self._where}: {error.strerror}; free some room, or name another "
                "folder by $DERMSSL_CACHE"
            ) from error

    def read(self, number: int) -> bytes:
        """The piece of that number."""
        start, size = self._places[number]
        with self._lock:
            self._file.seek(start)
            return self._file.read(size)
