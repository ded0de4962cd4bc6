"""How cards call a data set: by its published name, else by the name of its folder."""

import re
from typing import Any

from dermssl.data.known import KNOWN


def name_of(layout: str | None, source: str | None) -> str:
    """How a card calls a set: its published name, else the name of its folder, never a path on somebody's disk."""
    if layout in KNOWN:
        return KNOWN[layout].name
    return last_part(source) or "unnamed images"


def id_of(layout: str | None, name: str) -> str:
    """How the front matter of a card calls a set: in letters that the Hub takes for an identifier."""
    if layout in KNOWN:
        return KNOWN[layout].tag
    # as validate_repo_id has it: ASCII, no "--" or "..", at most 96, no ".git" at the end
    plain = re.sub(r"[^A-Za-z0-9]*(?:[^A-Za-z0-9_.-]|[-.]{2,})[^A-Za-z0-9]*", "-", name)[:96].strip("-._")
    return plain.removesuffix(".git").strip("-._") or "unnamed"


def last_part(path: str | None) -> str:
    """The last part of a path, whatever system wrote it."""
    return (path or "").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """The values, each path cut to its last part: where somebody keeps his images is nobody's business."""
    return {key: last_part(v) if isinstance(v, str) and ("/" in v or "\\" in v) else v for key, v in values.items()}
