"""Containers as folders: the layouts read them as they read any folder, by names and tables.

A folder of stubs is made for as long as the layouts look at it: an empty file of the right name and size for each
image, and the tables as they are. So every layout of a folder is one of an archive, too, and no layout knows of either.
"""

import contextlib
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from dermssl.data.formats import UnreadableImage, not_read
from dermssl.data.layouts.names import is_image, is_utf8
from dermssl.data.records import Kind, Problem
from dermssl.data.sources.archives import TarArchive, ZipArchive
from dermssl.data.sources.arrays import Hdf5Images, NpzArrays
from dermssl.data.sources.container import Container, Contents
from dermssl.data.sources.names import common_top, hidden
from dermssl.data.sources.parquet import ParquetTables
from dermssl.data.sources.shards import Shards, is_shard
from dermssl.data.sources.tfrecords import TfRecords, is_tfrecord
from dermssl.errors import DermsslError

TFRECORD = ".tfrecord"  # also .tfrec and .tfrecord-00000-of-00001
_KINDS: dict[str, type[Container]] = {
    ".zip": ZipArchive,
    ".tar": TarArchive,
    ".tar.gz": TarArchive,
    ".tgz": TarArchive,
    ".tar.bz2": TarArchive,
    ".tbz2": TarArchive,
    ".tbz": TarArchive,
    ".tar.xz": TarArchive,
    ".txz": TarArchive,
    ".npz": NpzArrays,
    ".hdf5": Hdf5Images,
    ".h5": Hdf5Images,
    ".parquet": ParquetTables,
}


@dataclass(frozen=True)
class Mounted:
    """A folder of stubs.

    Attributes:
        folder: where it is, while it is.
        places: stub -> the path that stands for the image, its container and its key.
        problems: what was left out of the containers.
    """

    folder: Path
    places: dict[Path, tuple[Path, Container, object]]
    problems: list[Problem]

    def real(self, path: Path) -> Path:
        """What a file in the folder of stubs stands for."""
        return self.places[path][0] if path in self.places else path


def suffix_of(path: Path) -> str:
    """The suffix by which a container is known (``.tar.gz``); "" if it is none."""
    name = path.name.lower()
    if is_tfrecord(name):
        return TFRECORD
    return max((suffix for suffix in _KINDS if name.endswith(suffix) and name != suffix), key=len, default="")


@dataclass(frozen=True)
class Survey:
    """What kinds of files are below a folder.

    Attributes:
        containers: files that hold images, sorted.
        images: whether there are image files.
        left_out: files that look like images, or hold some, and are not read.
    """

    containers: list[Path]
    images: bool
    left_out: list[Problem]


def survey(folder: Path) -> Survey:
    """Look at the names of all files below a folder; hidden ones are skipped."""
    containers: list[Path] = []
    others: list[str] = []
    images = False
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not hidden(name))
        for name in files:
            if hidden(name) or not is_utf8(name):
                continue
            path = Path(where) / name
            if is_image(name):
                images = True
            elif suffix_of(path):
                containers.append(path)
            else:
                others.append(path.relative_to(folder).as_posix())
    return Survey(sorted(containers), images, [Problem(*kind, Kind.LEFT_OUT) for kind in not_read(others)])


@contextmanager
def mounted(source: Path, files: Sequence[Path]) -> Iterator[Mounted]:
    """Show ``files`` as folders.

    Args:
        source: one of them, or the folder that they lie in; its other files are there as well.
        files: the containers.

    Raises:
        DermsslError: one of them is damaged, or needs a library that is not installed, or there is no room for the
            stubs.
    """
    with tempfile.TemporaryDirectory(prefix="dermssl-") as temporary:
        root = Path(temporary).resolve()
        shown = Mounted(root, {}, [])
        try:
            if source.is_dir():
                _link_others(source, root, set(files))
            opened = _opened(source, files)
            tops = _tops([contents for _, contents in opened])
            for (container, contents), top in zip(opened, tops, strict=True):
                _show(source, container, contents, shown, top, alone=len(opened) == 1)
        except OSError as error:
            raise DermsslError(f"{root} (the names in {source}): {error.strerror or error}") from error
        yield shown


def _opened(source: Path, files: Sequence[Path]) -> list[tuple[Container, Contents]]:
    """Each container with what is in it; the shards of one data set are one."""
    opened: list[tuple[Container, Contents]] = []
    of_many: dict[str, type[Container]] = {".parquet": ParquetTables, TFRECORD: TfRecords}
    for suffix, kind in of_many.items():
        parts = tuple(path for path in files if suffix_of(path) == suffix)
        if parts:
            tables = kind(source, parts)
            opened.append((tables, tables.contents()))
    shards: list[Path] = []
    for path in files:
        if suffix_of(path) in of_many:
            continue
        container = _KINDS[suffix_of(path)](path)
        contents = container.contents()
        if isinstance(container, TarArchive) and is_shard(contents):
            shards.append(path)
        else:
            opened.append((container, contents))
    if shards:
        together = Shards(source, tuple(shards))
        opened.append((together, together.contents()))
    return opened


def _tops(contents: Sequence[Contents]) -> list[str]:
    """The only top folders of each container, which are left out, as people unpack an archive; "" where there are none.

    What lies below those of another container is kept: a test.zip may hold images of one class only.
    """
    names = [[*inside.images, *inside.tables] for inside in contents]
    tops = [common_top(some) for some in names]
    below = {
        name[len(top) :].split("/")[0]
        for some, top in zip(names, tops, strict=True)
        for name in some
        if "/" in name[len(top) :]
    }
    return [
        "".join(f"{part}/" for part in takewhile(lambda part: part not in below, top.split("/")[:-1])) for top in tops
    ]


def _show(source: Path, container: Container, contents: Contents, shown: Mounted, top: str, *, alone: bool) -> None:
    """Make the stubs of one container, without its top folder."""
    below = shown.folder
    if container.path != source and not alone:
        relative = container.path.relative_to(source)
        below = below / relative.parent / relative.name[: -len(suffix_of(relative))]
    inside = {name for name in contents.others if suffix_of(Path(name))}
    where = container.path.name
    shown.problems.extend(contents.problems)
    shown.problems.extend(
        Problem(f"{where}/{name}", "an archive in an archive: not read; unpack it and name it", Kind.LEFT_OUT)
        for name in sorted(inside)
    )
    shown.problems.extend(
        Problem(f"{where}/{name}", reason, Kind.LEFT_OUT) for name, reason in not_read(set(contents.others) - inside)
    )
    for name, text in contents.tables.items():
        path = _fresh(below, name[len(top) :])
        if not path.exists():
            path.write_bytes(text)
    stems = Counter(Path(name).stem for name in contents.images)
    prints = _prints(container, contents)
    for name, member in contents.images.items():
        path = _fresh(below, name[len(top) :])
        with open(path, "wb") as file:
            if stems[path.stem] > 1:
                # Of two pictures of one name, equal contents must look equal and others not: by the checksum where the
                # container has one.
                file.write(f"{prints.get(name, name)}\n".encode())
                file.truncate(max(member.size, file.tell()))
        shown.places[path] = (container.path / name, container, member.key)


def _prints(container: Container, contents: Contents) -> dict[str, int]:
    """What tells equal contents, by name. A .tar has no checksums: where a table may name one of two files of one name
    and size, they are read for it.
    """
    prints = {name: member.print for name, member in contents.images.items() if member.print is not None}
    if isinstance(container, TarArchive) and contents.tables:
        twins = Counter((Path(name).stem, member.size) for name, member in contents.images.items())
        for name, member in contents.images.items():
            if twins[Path(name).stem, member.size] > 1:
                with contextlib.suppress(UnreadableImage):  # said when it is asked for
                    prints[name] = zlib.crc32(container.read(member.key))
    return prints


def _fresh(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    return path


def _link_others(source: Path, root: Path, containers: set[Path]) -> None:
    """The other files of the folder by links, so that its tables are read with what is in the containers."""
    for where, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and is_utf8(name))
        for name in files:
            path = Path(where) / name
            if path not in containers and is_utf8(name) and not name.startswith("."):
                link = _fresh(root, path.relative_to(source).as_posix())
                link.symlink_to(path.absolute())
