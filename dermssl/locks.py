"""One process at a time: locks that go with their process, also a killed one, and leave the files of others alone."""

import contextlib
import fcntl
import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dermssl.regular import open_own

_MARK = "dermssl lock, held by process"
_HELD = re.compile(rf"{_MARK} (\d+) of ([\w.-]+)\n?".encode())


class Held(Exception):
    """Another process, or thread, has the lock; ``str()`` says which and since when, as far as it can be known."""


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[Held], None] | None = None) -> Iterator[None]:
    """Hold the lock at ``path``, a file that is made where it is missing and says who has it while it is held.

    Args:
        path: of the file; one that holds anything else is locked, and not written.
        waiting: called once if another has the lock, which is then waited for; None does not wait.

    Raises:
        Held: another has it, and ``waiting`` is None.
        OSError: the file cannot be made or locked; `dermssl.regular.NotRegular` if it is a link or no file.
    """
    descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = Held(_holder(descriptor))
            if waiting is None:
                raise held from None
            waiting(held)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _write(descriptor, f"{_MARK} {os.getpid()} of {platform.node() or '?'}\n")
        with contextlib.suppress(OSError):
            os.utime(descriptor)  # since when: asked for by those who find it held
        try:
            yield
        finally:
            _write(descriptor, "")  # the folder may be handed on, and the name of this machine not with it
    finally:
        os.close(descriptor)  # and with it the lock


def _write(descriptor: int, text: str) -> None:
    """Put ``text`` into a lock that holds nothing else, under no other name; a full disk is no hindrance."""
    with contextlib.suppress(OSError):
        content = os.pread(descriptor, 400, 0)
        if os.fstat(descriptor).st_nlink == 1 and (not content or _HELD.fullmatch(content)):
            os.ftruncate(descriptor, os.pwrite(descriptor, text.encode(), 0))


def _holder(descriptor: int) -> str:
    file = os.fstat(descriptor)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(file.st_mtime))
    with contextlib.suppress(OSError):
        told = _HELD.fullmatch(os.pread(descriptor, 400, 0))
        if told is not None and told[2].decode() != platform.node():
            return f"process {told[1].decode()} of {told[2].decode()}, since {since}"
    return f"{_process(file)}, since {since}"


def _process(file: os.stat_result) -> str:
    """The process of this machine that has a lock on a file, as Linux lists it."""
    place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            fields = line.split()  # 1: FLOCK ADVISORY WRITE 1234 fd:01:5678 0 EOF
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == place:
                return f"process {fields[4]}"
    return "another process"
