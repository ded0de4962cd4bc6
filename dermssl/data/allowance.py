"""How many bytes of images may be decoded at once, in all threads together."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_LEAST = 2**30


class Allowance:
    """A share of the memory that threads borrow from and give back.

    Whoever needs more than all of it gets it alone: a large image is decoded by itself, not refused.

    Args:
        bytes_: how many there are.
    """

    def __init__(self, bytes_: int) -> None:
        self.bytes, self._used, self._changed = bytes_, 0, threading.Condition()

    @contextlib.contextmanager
    def borrow(self, wanted: int) -> Iterator[None]:
        """Wait until ``wanted`` bytes are free, and hold them."""
        wanted = min(wanted, self.bytes)
        with self._changed:
            self._changed.wait_for(lambda: self._used + wanted <= self.bytes)
            self._used += wanted
        try:
            yield
        finally:
            with self._changed:
                self._used -= wanted
                self._changed.notify_all()


def memory_bytes() -> int:
    """The memory of this machine, or of the container that this process is in."""
    limits = []
    with contextlib.suppress(ValueError, OSError, AttributeError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(ValueError, OSError):  # "max": no limit
            limits.append(int(Path(name).read_text(encoding="ascii")))
    return min(limits, default=4 * _LEAST)


# A quarter of the memory: the rest is for what was decoded, the system's file cache and whatever else runs.
DECODING = Allowance(max(_LEAST, memory_bytes() // 4))
