"""The folder of a cache while it is filled: held by one process, with its faults said in words."""

import contextlib
import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dermssl.data import cache_files
from dermssl.data.cache_files import UNFINISHED
from dermssl.errors import DermsslError
from dermssl.files import size_in_words
from dermssl.locks import locked

LOGGER = logging.getLogger("dermssl")

_LOCK = ".lock"


@contextmanager
def reporting_os_errors(folder: Path, file_bytes: int) -> Iterator[None]:
    """Say what the system says as one error, with what to do; ``file_bytes`` are those that the images will take."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = next(path for path in (folder, *folder.parents) if path.exists())
            there = 0
            with contextlib.suppress(OSError):
                there = (folder / UNFINISHED / cache_files.IMAGES).stat().st_blocks * 512
            raise DermsslError(
                f"no room left for {folder}: it needs {size_in_words(max(0, file_bytes - there))} more of its "
                f"{size_in_words(file_bytes)}, and {size_in_words(shutil.disk_usage(where).free)} are free; free some, "
                "or name another "
                "--output or $DERMSSL_CACHE. What is done is kept, and the next run continues from there"
            ) from error
        raise DermsslError(
            f"{folder} cannot be written: {_named(error, folder)}; name another --output or $DERMSSL_CACHE"
        ) from error


def _named(error: OSError, folder: Path) -> str:
    """What the system says, and of which file in ``folder``."""
    said = error.strerror or str(error)
    file = Path(str(error.filename)) if error.filename else folder
    return f"{file.relative_to(folder).as_posix()}: {said}" if file != folder and folder in file.parents else said


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """One process at a time fills ``folder``; the lock goes with the process, also when it is killed."""
    if folder.is_dir():
        # Beside the work in progress there may be what a run moved out of it before it was killed.
        ours = {UNFINISHED, _LOCK, cache_files.IMAGES, cache_files.RECORDS, cache_files.PROBLEMS, cache_files.MANIFEST}
        there = {path.name for path in folder.iterdir()}
        if there - ours or (there - {_LOCK} and not there & {UNFINISHED, cache_files.MANIFEST}):
            raise DermsslError(f"{folder} is not empty and does not hold a prepared cache; name another --output")
        odd = sorted(n for n in there - {UNFINISHED, _LOCK} if not (folder / n).is_file())
        odd += [UNFINISHED] if (folder / UNFINISHED).is_symlink() else []
        if odd:
            raise DermsslError(f"{folder / odd[0]} was not put there by dermssl; delete it or name another --output")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(
        folder / _LOCK,
        lambda other: LOGGER.info("another process is preparing %s (%s): waiting for it", folder, other),
    ):
        yield
