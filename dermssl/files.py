"""Files that are either whole or not there: write beside, flush to disk, rename. Links of ours are never followed."""

import contextlib
import errno
import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from dermssl.errors import DermsslError
from dermssl.regular import NotRegular, open_own, refuse_special


@contextlib.contextmanager
def replaced_file(path: Path, needs: int | None = None) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it is synced to disk and renamed to ``path``.

    Args:
        path: of the file; a link there is replaced, not followed.
        needs: bytes that will be written, where they are known: said where the disk is full.

    Raises:
        DermsslError: the disk is full or the folder cannot be written; what stood at ``path`` is untouched.
    """
    with _in_place(path, needs) as temporary:
        refuse_special(path)
        os.close(open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        yield temporary
        _sync(temporary)


@contextlib.contextmanager
def new_folder(path: Path, needs: int | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success its files are synced to disk and it is renamed to ``path``.

    Args:
        path: of the folder; not there, or empty.
        needs: bytes that will be written, where they are known: said where the disk is full.

    Raises:
        DermsslError: the disk is full or the folder cannot be written; nothing is left of it.
    """
    with _in_place(path, needs) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)


@contextlib.contextmanager
def _in_place(path: Path, needs: int | None) -> Iterator[Path]:
    """Yield a name for a draft of ``path``, where nothing is; on success what was made there is renamed to ``path``."""
    temporary = path.with_name(f"{_draft(path)}{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        _delete(temporary)  # of a process that had this number and was killed, or a trap
        yield temporary
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error, needs) from error
    finally:
        _delete(temporary)


def _sync(file: Path) -> None:
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def _delete(draft: Path) -> None:
    if draft.is_dir() and not draft.is_symlink():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _draft(path: Path) -> str:
    """What the names of drafts of ``path`` start with; the machine is in them, as several may share a folder."""
    return f".{path.name[:150]}.{platform.node()[:40] or 'here'}."


def _sweep(path: Path) -> None:
    """Delete the drafts of ``path`` whose processes were killed."""
    start = _draft(path)
    for name in os.listdir(path.parent):
        process = name.removeprefix(start).removesuffix(".part")
        if name == f"{start}{process}.part" and process.isdigit() and not is_alive(int(process)):
            _delete(path.parent / name)


def is_alive(process: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


_ADVICE = {
    errno.EACCES: "give yourself permission to write there, or name another place",
    errno.EPERM: "give yourself permission to write there, or name another place",
    errno.EEXIST: "remove what is there",
    errno.EISDIR: "remove the folder that is there",
    errno.ENOTDIR: "remove what is in the place of a folder",
    errno.ENOTEMPTY: "remove what is there",
    errno.EINVAL: "it must be a file, or nothing",  # see NotRegular
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and try again",
    errno.ENFILE: "close other programs and try again",
    errno.ENOMEM: "close other programs and try again",
    errno.EIO: "check the disk and try again",
    errno.ENAMETOOLONG: "give a shorter name",
}


def size_in_words(count: int) -> str:
    """A number of bytes as people read it, to two digits or more: "512 bytes", "3.4 kB", "12 MB", "1,234 GB"."""
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    size, units = count / 1000, ["kB", "MB", "GB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:,.{int(size < 9.95)}f} {units[0]}"


def cannot_write(path: Path, error: OSError, needs: int | None = None) -> DermsslError:
    """The error for a file that cannot be written: with the bytes that are needed where the disk is full."""
    text = f"cannot write {path}: {error.strerror or error}"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return DermsslError(f"{text}; {_ADVICE.get(error.errno or 0, 'name another place')}")
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(next(place for place in path.absolute().parents if place.exists())).free
        wanted = f"it takes {size_in_words(needs)}, and " if needs else ""
        text += f" ({wanted}{size_in_words(free)} are free); make room and give the same command again"
    return DermsslError(text)


def own_folder(path: Path) -> Path:
    """Make a folder of ours inside another of ours: what is written into it must not end up elsewhere.

    Raises:
        DermsslError: a link or a file stands there, or it cannot be made.
    """
    if path.is_symlink():
        raise DermsslError(f"{path} is a link, where a real folder is expected; remove it")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def refuse_way_out(file: Path, folder: Path) -> None:
    """Refuse a file of ours that a link, its own or that of a folder on the way, leads out of ``folder``.

    What it holds would be handed on under another's name. A link to what is inside is let through.

    Raises:
        DermsslError: it leads out.
    """
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder)):
        raise DermsslError(
            f"{file} is reached by a link that leads out of {folder}, where a regular file is expected; remove it, or "
            "put a copy in its place"
        )


def append_text(path: Path, text: str) -> None:
    """Add ``text`` (UTF-8) to the end of a file of ours, which is made where it is missing.

    Raises:
        DermsslError: the disk is full, or a link or something other than a file stands there.
    """
    data = text.encode()
    try:
        with os.fdopen(open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "wb") as file:
            file.write(data)
    except OSError as error:
        raise cannot_write(path, error, len(data)) from error


def refuse_unwritable(path: str | Path, option: str) -> None:
    """Say before hours of work, not after, that no file can be written at ``path``.

    Raises:
        DermsslError: it is a folder or a device, or is inside a file or a folder that cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise DermsslError(f"{option} {path}: is a folder; name a file in it")
    try:
        refuse_special(path)
    except NotRegular as error:
        raise DermsslError(f"{option} {path}: {error.strerror}; name a file") from error
    _refuse_closed(path.absolute().parent, f"{option} {path}")


def refuse_unwritable_folder(folder: str | Path, option: str) -> None:
    """Say before hours of work, not after, that no files can be written into ``folder``, which need not be there yet.

    Raises:
        DermsslError: it is a file or a link that leads nowhere, or it (or what it would be made in) cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise DermsslError(f"{option} {folder}: is a file; name a folder")
    if folder.is_symlink() and not folder.exists():
        raise DermsslError(f"{option} {folder}: is a broken link; remove it, or name another folder")
    _refuse_closed(folder.absolute(), f"{option} {folder}")


def _refuse_closed(folder: Path, named: str) -> None:
    """Raises DermsslError unless files can be made in ``folder``, or in the nearest one above it that is there."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise DermsslError(f"{named}: {there} is not a folder that can be written; name another place")


def is_partial(path: Path) -> bool:
    """Whether ``path`` is what a process killed inside :func:`replaced_file` left behind: safe to ignore or delete."""
    return path.name.startswith(".") and path.name.endswith(".part")


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8), whole or not at all."""
    data = text.encode()
    with replaced_file(path, len(data)) as temporary:
        temporary.write_bytes(data)


def sync_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to disk: without it a power cut can undo a rename."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
