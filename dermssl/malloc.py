"""How this process takes memory from the system."""

import contextlib
import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


# What the allocators say where no error has a type: torch's own on the CPU, cuDNN's and cuBLAS's, and the system.
_SAID = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine or of the device was not enough."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)
    )


def keep_freed_memory() -> None:
    """Keep large freed buffers for the next step instead of giving them back to the system.

    glibc maps every buffer above 32 MB anew and unmaps it when it is freed, so that each activation of each step is
    paid for in page faults (docs/measurements/performance.md has the gain). Nothing is done where there is no glibc.
    Huge pages are asked for too; torch looks at that once, so it only works before the first tensor.
    """
    if not sys.platform.startswith("linux"):
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with contextlib.suppress(OSError, AttributeError):  # no libc by that name, or not glibc
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 * 2**20)
