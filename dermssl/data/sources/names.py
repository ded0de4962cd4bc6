"""Names inside an archive: which are images, which are tables, which are safe, and what they are below a top folder."""

import unicodedata
from pathlib import PurePosixPath

from dermssl.data.layouts.names import is_image, is_utf8

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xls", ".json", ".jsonl", ".md", ".cls"})
TABLES_WITHOUT_SUFFIX = frozenset({"HAM10000_metadata"})


def clean(name: str) -> str | None:
    """A member's name as a relative path of the composed spelling (NFC); None if it climbs out of the archive."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = [part for part in name.split("/") if part not in ("", ".")]
    climbs = name.startswith("/") or ".." in parts or (parts and len(parts[0]) == 2 and parts[0][1] == ":")
    return None if climbs or "\0" in name or not is_utf8(name) or not parts else "/".join(parts)


def hidden(name: str) -> bool:
    """Whether a member is what systems add by themselves: ``__MACOSX``, ``.DS_Store``, ``._a.jpg``."""
    return any(part == "__MACOSX" or part.startswith(".") for part in name.split("/"))


def is_table(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in TABLE_SUFFIXES or path.name in TABLES_WITHOUT_SUFFIX


def kind(name: str) -> str:
    """``image``, ``table`` or ``other``."""
    if is_image(name):
        return "image"
    return "table" if is_table(name) else "other"


def common_top(names: list[str]) -> str:
    """The folders that all names share, with a slash at the end; "" if they share none."""
    if not names:
        return ""
    shared = list(PurePosixPath(names[0]).parts[:-1])
    for name in names:
        parts = PurePosixPath(name).parts[:-1]
        length = next((i for i, (a, b) in enumerate(zip(shared, parts, strict=False)) if a != b), len(parts))
        shared = shared[: min(length, len(shared))]
        if not shared:
            return ""
    return "/".join(shared) + "/"
