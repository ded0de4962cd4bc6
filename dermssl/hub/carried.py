"""Files that an export or a push carries out of a folder: regular ones of that folder, and what their suffix says."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

from dermssl.documents import advice
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
            content = file.read()
    except OSError as error:
        return error.strerror or str(error)
    if path.suffix == ".png":
        return None if content.startswith(b"\x89PNG\r\n\x1a\n") else "is no PNG"
    return _svg_fault(content)


def _svg_fault(content: bytes) -> str | None:
    """What keeps a file from being a drawing, and nothing else: an SVG may hold programs and fetch from elsewhere."""
    if b"<!ENTITY" in content:
        return "is an SVG that declares entities"
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError):  # LookupError: of an unknown encoding
        return "is no SVG"
    if _local(root.tag) != "svg":
        return "is no SVG"
    for element in root.iter():
        if _local(element.tag) in ("script", "foreignobject", "iframe"):
            return "is an SVG that holds a program or a page"
        for name, value in element.attrib.items():
            if _local(name).startswith("on"):
                return "is an SVG that holds a program"
            if _local(name) == "href" and not value.strip().lower().startswith(("#", "data:image/")):
                return "is an SVG that refers to another file"
    return None


def _local(tag: object) -> str:
    """The name of an element or attribute without its namespace; a comment has none."""
    return str(tag).rpartition("}")[2].lower() if isinstance(tag, str) else ""


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
        what = advice(error, "put a regular file in its place, or see that there is room")
        raise DermsslError(f"cannot copy {source} to {target}: {error.strerror or error}; {what}") from error
