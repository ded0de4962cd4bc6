"""Opening files that others put there: regular ones of a sane size only, asked before anything is read.

A FIFO in the place of a file would wait for a writer for ever, a device would never end, and a sparse file of 40 GB
would fill the memory.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_CHUNK = 2**20
_KINDS = (
    (stat.S_ISDIR, "is a folder, not a file"),
    (stat.S_ISFIFO, "is a FIFO, not a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)


class NotRegular(OSError):
    """What is there cannot be read as a file, or is too large to; ``strerror`` says what it is."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


def unfit_name(path: str | os.PathLike[str]) -> str | None:
    """Why no file can have this path, None if one can: asked first, as the system refuses even to look for it."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return "no name of a file: it holds half of a surrogate pair"
    if b"\0" in name:
        return "no name of a file: it holds NUL"
    if len(name) > 4095 or max(map(len, name.split(b"/"))) > 255:
        return "too long for the name of a file; give a shorter one"
    return None


def open_regular(path: str | Path, max_bytes: int | None = None, *, follow: bool = True) -> BinaryIO:
    """Open a regular file to read its bytes, without ever waiting for one that is none.

    Args:
        path: of the file.
        max_bytes: the largest size that is opened; None for any.
        follow: open what a link points to; False refuses links, where the file is one of ours.

    Raises:
        NotRegular: it is a folder, FIFO, socket or device, or larger than ``max_bytes``, or a link where none may be.
        OSError: the system does not open it (missing, no permission, a loop of links, too many open files).
    """
    # Asked first, since opening a device can do something by itself; and again of what was really opened.
    _refuse(path, os.stat(path) if follow else os.lstat(path), max_bytes)
    more = getattr(os, "O_NONBLOCK", 0) | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | more))  # noqa: SIM115 - handed out
    try:
        _refuse(path, os.fstat(file.fileno()), max_bytes)
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | Path, max_bytes: int, *, follow: bool = True) -> bytes:
    """The bytes of a regular file; see `open_regular`.

    Raises:
        NotRegular, OSError: as `open_regular`; also where the file grows beyond ``max_bytes`` while it is read.
    """
    with open_regular(path, max_bytes, follow=follow) as file:
        # read(n) takes n bytes of memory first, however short the file is
        data = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
        while len(data) <= max_bytes and (more := file.read(_CHUNK)):  # it grows, or does not tell its size
            data += more
    if len(data) > max_bytes:
        raise NotRegular(path, _too_large(max_bytes))
    return data


def open_own(path: str | Path, flags: int) -> int:
    """Open a file of ours to write it, a descriptor: never through a link, and nothing but a regular file.

    Args:
        path: of the file; created where it is missing and ``flags`` hold ``os.O_CREAT``.
        flags: of ``os.open``, without ``os.O_TRUNC``: truncate what was opened, once it is known to be a file.

    Raises:
        NotRegular: a link, folder, FIFO, socket or device stands there.
        OSError: the system does not open it.
    """
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags | more, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP and os.path.islink(path):
            raise NotRegular(path, "is a link, where a regular file is expected") from error
        if error.errno == errno.ENXIO:  # a FIFO without a reader, a socket
            raise NotRegular(path, "is a FIFO or a socket, not a file") from error
        raise
    try:
        _refuse(path, os.fstat(descriptor), None)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def refuse_special(path: str | Path) -> None:
    """Refuse to put a file where a device, FIFO or socket is, or a link to one: /dev/null and /dev/stdout must stay.

    Raises:
        NotRegular: there is one.
    """
    try:
        found = os.stat(path)
    except OSError:
        return
    if not stat.S_ISDIR(found.st_mode):
        _refuse(path, found, None)


def _refuse(path: str | Path, found: os.stat_result, max_bytes: int | None) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotRegular(path, "is a link, where a regular file is expected")
    for is_kind, reason in _KINDS:
        if is_kind(found.st_mode):
            raise NotRegular(path, reason)
    if not stat.S_ISREG(found.st_mode):
        raise NotRegular(path, "is not a regular file")
    if max_bytes is not None and found.st_size > max_bytes:
        raise NotRegular(path, _too_large(max_bytes))


def _too_large(max_bytes: int) -> str:
    return f"is larger than {max_bytes / 2**20:,.0f} MiB"
