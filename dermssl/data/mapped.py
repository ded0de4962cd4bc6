"""The images of a cache as a memory map that notices when its file is cut."""

from typing import Any

import numpy as np

from dermssl.errors import DermsslError


class CutShort(DermsslError):
    """The images of a cache have become fewer while they were read."""


class MappedImages(np.memmap):
    """A read-only memory map that looks at its file before it is indexed."""

    def __getitem__(self, index: Any) -> Any:
        refuse_cut(self)
        found = super().__getitem__(index)
        copied = isinstance(found, MappedImages) and getattr(found, "_mmap", None) is None
        return found.view(np.ndarray) if copied else found


def refuse_cut(images: np.ndarray) -> None:
    """Refuse a memory map whose file has become shorter: to touch what is gone would end the process (SIGBUS).

    A file that is cut in the moment after is not noticed. Takes a microsecond.

    Raises:
        CutShort: it has.
    """
    mapped = getattr(images, "_mmap", None)
    if mapped is not None and mapped.size() < len(mapped):
        raise CutShort(
            f"{getattr(images, 'filename', 'the images')} was cut to {mapped.size():,} bytes while it was read; delete "
            "its folder and prepare the cache again"
        )
