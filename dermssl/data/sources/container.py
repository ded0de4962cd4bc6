"""A container: one file, or a few of one kind, that hold many images."""

import lzma
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dermssl.data.formats import UnreadableImage
from dermssl.data.opener import file_state
from dermssl.data.records import Problem
from dermssl.documents import unreadable
from dermssl.errors import DermsslError

_AGAIN = "copy or download it again"
MAX_IMAGE_BYTES = 2**29  # of one image's file; the largest of the ISIC Archive takes 30 MB
MAX_TABLE_BYTES = 2**29  # of all tables of one container; ISIC 2024's metadata take 240 MB
# What Python's own readers of archives raise where one is damaged; lzma's error is no relative of the others.
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError,
    RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One image of a container.

    Attributes:
        key: what the container finds it by.
        size: bytes, as the container says; -1 where it does not.
        print: a number that is equal for equal contents, where the container knows one without reading.
    """

    key: object
    size: int = -1
    print: int | None = None


@dataclass
class Contents:
    """What a container holds, by names as in a folder: ``train/NV/a.jpg``.

    Attributes:
        images: name -> member.
        tables: name -> the bytes of a table or another text that layouts are recognised by.
        others: names of what is neither an image nor a table.
        problems: what was left out, and why.
    """

    images: dict[str, Member] = field(default_factory=dict)
    tables: dict[str, bytes] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Container(ABC):
    """Reads images in place. What is inside is listed once; any number of threads may then read.

    Attributes:
        path: the file; of several, the folder they lie in.
        files: all of them.
    """

    def __init__(self, path: Path, files: tuple[Path, ...] = ()) -> None:
        self.path = path
        self.files = files or (path,)

    @abstractmethod
    def contents(self) -> Contents:
        """List the images and read the tables.

        Raises:
            DermsslError: it is damaged, encrypted or of a kind that cannot be read.
        """

    @abstractmethod
    def read(self, key: object) -> bytes:
        """The encoded image of a member.

        Raises:
            UnreadableImage: it is damaged.
        """

    def state(self) -> tuple[int, int]:
        """Size and latest time of the files."""
        states = [file_state(path) for path in self.files]
        # the times mixed, so that swapping one shard for an older one of the same size shows too
        return sum(size for size, _ in states), zlib.crc32(repr(states).encode())


class ContainerOpener:
    """Opens images of containers by their paths; those of files of their own by the file.

    Args:
        places: path of an image -> its container and its key there.
    """

    def __init__(self, places: dict[Path, tuple[Container, object]]) -> None:
        self._places = places
        self._states: dict[int, tuple[int, int]] = {}

    def read(self, path: Path) -> bytes:
        container, key = self._places[path]
        data = container.read(key)
        if not data:
            raise UnreadableImage("empty file")
        return data

    def state(self, path: Path) -> tuple[int, int]:
        container, _ = self._places[path]
        if id(container) not in self._states:
            self._states[id(container)] = container.state()
        return self._states[id(container)]


@contextmanager
def damage_said(path: Path, *kinds: type[BaseException]) -> Iterator[None]:
    """What a library says of a damaged file, as one error with its name."""
    try:
        yield
    except DermsslError:
        raise
    except OSError as error:
        raise unreadable(path, error, _AGAIN) from error
    except kinds as error:
        why = " ".join(str(error).split())  # some say it in several lines
        raise DermsslError(f"{path} is damaged or not what its name says: {why}; {_AGAIN}") from error
