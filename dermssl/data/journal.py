"""The journal of a cache being filled: what became of each record so far, trusted only where the images bear it out."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dermssl.data import cache_files
from dermssl.data.cache_files import Row
from dermssl.documents import DamagedDocument, MissingDocument, read_json_lines
from dermssl.files import write_text
from dermssl.regular import open_regular

LOGGER = logging.getLogger("dermssl")

# sha256 of the file, aspect ratio, crc32 of the pixels; and what is odd; or the reason why there are none
_SCHEMA = [(str, float, None)]


class Line(NamedTuple):
    """What became of one record: its row, and what is odd about it; or no row, and why it cannot be read."""

    row: Row | None
    reason: str = ""

    def text(self) -> str:
        return json.dumps([*(self.row or ("", None, "")), self.reason]) + "\n"


def read_journal(path: Path, images: Path, row_bytes: int) -> list[Line]:
    """The lines of an interrupted run, in order, up to the first that is damaged or whose image is not there whole.

    A kill may cut the last line; a full disk, a copy or a careless hand may cut the images.
    """
    try:
        found = read_json_lines(path, "the journal", _SCHEMA, remedy="it is made again")
    except MissingDocument:
        return []
    lines: list[Line] = []
    for number, value in enumerate(found, start=1):
        line = None if isinstance(value, DamagedDocument) else _line(value)
        if line is None:
            LOGGER.warning("line %d of %s is damaged: what follows is prepared again", number, path)
            break
        lines.append(line)
    return _borne_out(lines, images, row_bytes)


def _line(fields: list[str | float | None]) -> Line | None:
    match fields:
        case ["", None, "", str(reason)] if reason:
            return Line(None, reason)
        case [str(sha256), float() | int() | None as aspect, str(crc32), str(reason)] if sha256 and crc32:
            if aspect is None or 0 < aspect < float("inf"):
                return Line(Row(sha256, None if aspect is None else float(aspect), crc32), reason)
    return None


def _borne_out(lines: list[Line], images: Path, row_bytes: int) -> list[Line]:
    try:
        with open_regular(images) as file:
            file.seek(cache_files.HEADER_BYTES)
            for index, line in enumerate(lines):
                if line.row is None:
                    continue
                pixels = np.frombuffer(file.read(row_bytes), np.uint8)
                if len(pixels) < row_bytes or cache_files.checksum(pixels) != line.row.crc32:
                    LOGGER.warning(
                        "%s was cut or altered since it was written: continuing from image %d", images, index + 1
                    )
                    return lines[:index]
    except FileNotFoundError:
        return []
    return lines


def still_holding(
    path: Path, images: Path, row_bytes: int, attempt: Callable[[int], tuple[npt.NDArray[np.uint8] | None, Line]]
) -> list[Line]:
    """The lines of an earlier run that hold, up to the first image that it could not read and that now can be.

    What follows that image is decoded again, as it lies one place too early in images.npy. This is rare, and rows
    that were moved in the file instead could be left half moved by a kill.
    """
    before = read_journal(path, images, row_bytes)
    lines: list[Line] = []
    for index, line in enumerate(before):
        if line.row is None:
            pixels, line = attempt(index)
            if pixels is not None:
                LOGGER.info("image %d of the interrupted run can be read now: continuing from there", index + 1)
                break
        lines.append(line)
    if os.path.lexists(path):
        write_text(path, "".join(line.text() for line in lines))
    return lines
