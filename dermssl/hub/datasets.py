"""How the front matter of a card calls a data set."""

import re

from dermssl.data.known import KNOWN


def id_of(layout: str | None, name: str) -> str:
    """How the front matter of a card calls a set: in letters that the Hub takes for an identifier."""
    if layout in KNOWN:
        return KNOWN[layout].tag
    # as validate_repo_id has it: ASCII, no "--" or "..", at most 96, no ".git" at the end
    plain = re.sub(r"[^A-Za-z0-9]*(?:[^A-Za-z0-9_.-]|[-.]{2,})[^A-Za-z0-9]*", "-", name)[:96].strip("-._")
    return plain.removesuffix(".git").strip("-._") or "unnamed"
