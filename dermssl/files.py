"""Files that are either whole or not there: write beside, flush to disk, rename."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dermssl.errors import DermsslError


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it is synced to disk and renamed to ``path``.

    Raises:
        DermsslError: the disk is full or the folder cannot be written; what stood at ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise DermsslError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def refuse_unwritable(path: str | Path, option: str) -> None:
    """Say before hours of work, not after, that no file can be written at ``path``.

    Raises:
        DermsslError: it is a folder, or is inside a file or a folder that cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise DermsslError(f"{option} {path}: is a folder; name a file in it")
    _refuse_closed(path.absolute().parent, f"{option} {path}")


def refuse_unwritable_folder(folder: str | Path, option: str) -> None:
    """Say before hours of work, not after, that no files can be written into ``folder``, which need not be there yet.

    Raises:
        DermsslError: it is a file, or it (or what it would be made in) cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise DermsslError(f"{option} {folder}: is a file; name a folder")
    _refuse_closed(folder.absolute(), f"{option} {folder}")


def _refuse_closed(folder: Path, named: str) -> None:
    """Raises DermsslError unless files can be made in ``folder``, or in the nearest one above it that is there."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise DermsslError(f"{named}: {there} is not a folder that can be written")


def is_partial(path: Path) -> bool:
    """Whether ``path`` is what a process killed inside :func:`replaced_file` left behind: safe to ignore or delete."""
    return path.name.startswith(".") and path.name.endswith(".part")


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8), whole or not at all."""
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to disk: without it a power cut can undo a rename."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
