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
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise DermsslError(f"{option} {path}: {above} is not a folder that can be written")


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
