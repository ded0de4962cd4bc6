"""Archives read in place: .zip, .tar and compressed .tar."""

import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dermssl.data.formats import UnreadableImage
from dermssl.data.records import Kind, Problem
from dermssl.data.sources.container import (
    DAMAGE,
    MAX_IMAGE_BYTES,
    MAX_TABLE_BYTES,
    Container,
    Contents,
    Member,
    damage_said,
)
from dermssl.data.sources.names import clean, hidden, kind
from dermssl.data.sources.spool import Spool
from dermssl.errors import DermsslError

_ENCRYPTED = 0x1  # zip's general purpose flag
_UTF8 = 0x800


class ZipArchive(Container):
    """A .zip: each image is decompressed by itself."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with damage_said(path, *DAMAGE):
            self._zip = zipfile.ZipFile(path)

    def contents(self) -> Contents:
        found = Contents()
        room = MAX_TABLE_BYTES
        with damage_said(self.path, *DAMAGE):
            for info in self._zip.infolist():
                raw = _zip_name(info)
                name = _listed(raw, found, link=_zip_link(info))
                if info.is_dir() or name is None:
                    continue
                if info.flag_bits & _ENCRYPTED:
                    raise DermsslError(f"{self.path} is encrypted: unpack it with its password and name the folder")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 12, 14):
                    raise DermsslError(
                        f"{self.path}: {raw} is compressed in a way that Python does not read: unpack it"
                    )
                what = kind(name)
                if what == "image":
                    found.images[name] = Member(info, info.file_size, info.CRC)
                elif what == "table":
                    room = _room(self.path, raw, info.file_size, room)
                    with self._zip.open(info) as file:
                        found.tables[name] = file.read(info.file_size + 1)
                else:
                    found.others.append(name)
        return found

    def read(self, key: object) -> bytes:
        assert isinstance(key, zipfile.ZipInfo)
        _refuse_huge(key.file_size)
        try:
            with self._zip.open(key) as file:
                return file.read(MAX_IMAGE_BYTES)
        except (*DAMAGE, OSError) as error:
            raise UnreadableImage(f"damaged in the archive: {error}") from error


class TarArchive(Container):
    """A .tar, whose images are read where they lie; of a compressed one they are unpacked once, to where no name is.

    A compressed .tar can only be read from its beginning. Its images go to a temporary file that has no name and that
    the system frees when the process ends, however it ends; not before the first of them is asked for.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._spool: Spool | None = None
        with damage_said(path, *DAMAGE), open(path, "rb") as file:
            self.compressed = not _is_plain(file)

    def contents(self) -> Contents:
        found = Contents()
        room = MAX_TABLE_BYTES
        self._sizes = number = 0
        with damage_said(self.path, *DAMAGE):
            for archive, info in self._walk():
                link = info.issym() or info.islnk() or not (info.isfile() or info.isdir())
                name = _listed(info.name, found, link=link)
                if name is None or not info.isfile():
                    continue
                what = kind(name)
                if what == "image":
                    place = number if self.compressed else info.offset_data
                    number += 1
                    self._sizes += min(info.size, MAX_IMAGE_BYTES)
                    found.images[name] = Member((place, info.size), info.size)
                elif what == "table":
                    room = _room(self.path, info.name, info.size, room)
                    file = archive.extractfile(info)
                    found.tables[name] = file.read() if file else b""
                else:
                    found.others.append(name)
        return found

    def read(self, key: object) -> bytes:
        assert isinstance(key, tuple)
        place, size = key
        _refuse_huge(size)
        if self.compressed:
            return self._spooled().read(place)
        with self._lock:
            if self._file is None:
                self._file = open(self.path, "rb")  # noqa: SIM115 - open as long as the records are
        data = os.pread(self._file.fileno(), size, place) if hasattr(os, "pread") else self._seek(place, size)
        if len(data) < size:
            raise UnreadableImage("the archive is cut short")
        return data

    def _seek(self, place: int, size: int) -> bytes:
        assert self._file is not None
        with self._lock:
            self._file.seek(place)
            return self._file.read(size)

    def _walk(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        mode = "r|*" if self.compressed else "r:"
        with tarfile.open(self.path, mode) as archive:  # type: ignore[call-overload]
            for info in archive:
                yield archive, info
                archive.members = []  # else it remembers every header

    def _spooled(self) -> Spool:
        with self._lock:
            if self._spool is None:
                spool = Spool(self.path, self._sizes)
                with damage_said(self.path, *DAMAGE):
                    for archive, info in self._walk():
                        name = clean(info.name)
                        if not info.isfile() or name is None or hidden(name) or kind(name) != "image":
                            continue
                        file = archive.extractfile(info) if info.size <= MAX_IMAGE_BYTES else None
                        spool.append(file.read() if file else b"")
                self._spool = spool
        return self._spool


def _listed(raw: str, found: Contents, link: bool) -> str | None:
    """The clean name of a member, or None with the reason among the problems."""
    name = clean(raw)
    if name is None:
        shown = raw.encode("utf-8", "backslashreplace").decode()
        found.problems.append(
            Problem(shown, "points outside the archive or has no proper name: left out", Kind.OUTSIDE)
        )
        return None
    if hidden(name):
        return None
    if link:
        found.problems.append(Problem(name, "a link or a device in the archive: left out", Kind.LEFT_OUT))
        return None
    if name in found.images or name in found.tables:
        reason = "occurs in the archive twice: the last is used, as where it is unpacked"
        found.problems.append(Problem(name, reason, Kind.REPEATED_ROW))
    return name


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A Mac writes UTF-8 and does not say so; Python then reads the bytes as cp437."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _zip_link(info: zipfile.ZipInfo) -> bool:
    return info.create_system == 3 and (info.external_attr >> 16) & 0o170000 == 0o120000


def _is_plain(file: BinaryIO) -> bool:
    head = file.read(512)
    return len(head) < 512 or head[257:262] == b"ustar" or not head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))


def _room(path: Path, name: str, size: int, room: int) -> int:
    if size > room:
        raise DermsslError(
            f"{path}: its tables take more than {MAX_TABLE_BYTES / 2**20:,.0f} MiB at {name}: unpack it and name "
            "the folder"
        )
    return room - size


def _refuse_huge(size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise UnreadableImage(f"{size / 2**20:,.0f} MiB in the archive, more than {MAX_IMAGE_BYTES / 2**20:,.0f}")
