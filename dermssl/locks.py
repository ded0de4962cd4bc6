"""One process at a time: locks that go with their process, also a killed one, and leave their files as they are."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dermssl.regular import open_own


class Held(Exception):
    """Another process, or thread, has the lock; ``str()`` says which and since when, as far as it can be known."""


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[Held], None] | None = None) -> Iterator[None]:
    """Hold the lock at ``path``, a file that is made where it is missing and never written.

    Args:
        path: of the file.
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
            held = Held(_holder(os.fstat(descriptor)))
            if waiting is None:
                raise held from None
            waiting(held)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            os.utime(descriptor)  # since when: asked for by those who find it held
        yield
    finally:
        os.close(descriptor)  # and with it the lock


def _holder(file: os.stat_result) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(file.st_mtime))
    return f"{_process(file)}, since {since}"


def _process(file: os.stat_result) -> str:
    """The process that has a lock on a file, as Linux lists it."""
    place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            fields = line.split()  # 1: FLOCK ADVISORY WRITE 1234 fd:01:5678 0 EOF
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == place:
                return f"process {fields[4]}"
    return "another process"
