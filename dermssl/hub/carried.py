"""Files that an export or a push carries out of a folder: regular ones of that folder, and what their suffix says."""

import shutil
from pathlib import Path

from dermssl.errors import DermsslError
from dermssl.regular import open_regular

PICTURES = (".png", ".svg")
_LARGEST_PICTURE = 32 * 2**20


def picture_fault(path: Path) -> str | None:
    """Why a file is not carried along as a picture: a link, no regular file, or not what its suffix says."""
    if path.suffix not in PICTURES:
        return "is not named as a picture"
    try:
        with open_regular(path, _LARGEST_PICTURE, follow=False) as file:
            start = file.read(4096)
    except OSError as error:
        return error.strerror or str(error)
    if path.suffix == ".png":
        return None if start.startswith(b"\x89PNG\r\n\x1a\n") else "is no PNG"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    return None if text.startswith((b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg")) and b"<svg" in start else "is no SVG"


def carry(source: Path, target: Path) -> None:
    """Copy a file, never one that a link points to.

    Raises:
        DermsslError: it is a link or no regular file, is no picture where its name says so, or cannot be copied.
    """
    if source.suffix in PICTURES and (fault := picture_fault(source)):
        raise DermsslError(f"{source} {fault}: it is not carried along")
    try:
        with open_regular(source, follow=False) as opened, open(target, "xb") as written:
            shutil.copyfileobj(opened, written)
    except OSError as error:
        raise DermsslError(f"cannot copy {source} to {target}: {error.strerror or error}") from error
