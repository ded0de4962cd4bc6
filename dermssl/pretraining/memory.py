"""Out of memory, said once and with what to try."""

import contextlib
from collections.abc import Iterator

import torch

from dermssl.errors import DermsslError
from dermssl.pretraining.decided import Resolved

# What the allocators say: torch's own on the CPU, cuDNN's and cuBLAS's, and the system where no error has a type.
_SAID = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


@contextlib.contextmanager
def out_of_memory_named(resolved: Resolved) -> Iterator[None]:
    """Turn an allocator's error in the body into one that names the options to change.

    Raises:
        DermsslError: the memory was not enough.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and not any(words in str(error) for words in _SAID):
            raise
        batch, size = resolved.batch_size, resolved.image_size
        smaller = max(32, size * 7 // 10 // 32 * 32)
        edge = f" or --image-size {smaller}" if smaller < size else ""
        raise DermsslError(
            f"out of memory on {resolved.device} at a batch of {batch} images of {size} px; "
            f"try --batch-size {max(2, batch // 2)}{edge} (in another --output, as they change what is learned)"
        ) from error
