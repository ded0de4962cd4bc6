"""Folders for what is not finished: they go when their process is killed, with the next command of their kind."""

import contextlib
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dermssl.files import is_alive
from dermssl.locks import Held, locked

_LOCK = ".lock"


@contextlib.contextmanager
def draft(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``parent``, deleted at the end; before, those that killed processes left there are deleted.

    Args:
        parent: a folder, which may be shared by users and machines.
        prefix: of the names of this kind of draft.

    Raises:
        OSError: it cannot be made.
    """
    sweep(parent, prefix)
    with (
        tempfile.TemporaryDirectory(dir=parent, prefix=f"{named(prefix)}{os.getpid()}-") as folder,
        contextlib.ExitStack() as held,
    ):
        with contextlib.suppress(OSError):  # a file system without locks: the number of the process must do
            held.enter_context(locked(Path(folder) / _LOCK))
        yield Path(folder)


def named(prefix: str) -> str:
    """What the names of this machine's drafts start with."""
    return f"{prefix}{platform.node()[:40] or 'here'}-"


def sweep(parent: Path, prefix: str) -> None:
    """Delete the drafts of killed processes: this user's own folders, no links, of processes that are gone."""
    start = named(prefix)
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            process = name.removeprefix(start).partition("-")[0]
            if name.startswith(start) and process.isdigit() and not is_alive(int(process)) and _is_ours(parent / name):
                shutil.rmtree(parent / name, ignore_errors=True)  # it follows no link, not even one made meanwhile


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user that no process holds, in another container for one."""
    try:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return False
        if not (folder / _LOCK).exists():
            return True
        with locked(folder / _LOCK):
            return True
    except (Held, OSError):
        return False
