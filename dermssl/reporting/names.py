"""Names for a page that is handed on: no way through somebody's folders, nothing that a reader does not see."""

import re
from collections.abc import Sequence

from dermssl.privacy import without_folders
from dermssl.terminal import visible

_WHOLE = re.compile(r"(?:[A-Za-z]:[\\/]|~?/)[^\n]*")


def spoken(text: str) -> str:
    """The text with each absolute path cut to its last part, and its control characters spelled out."""
    if _WHOLE.fullmatch(text):
        text = _parts(text)[-1] if _parts(text) else text
    return visible(without_folders(text))


def told_apart(names: Sequence[str]) -> list[str]:
    """The names as pages show them: an absolute path by as many of its last parts as tell it from the others."""
    shown = []
    for name in names:
        if not _WHOLE.fullmatch(name):
            shown.append(visible(name))
            continue
        parts, others = _parts(name), [_parts(other) for other in names if other != name]
        count = 1
        while count < len(parts) and any(other[-count:] == parts[-count:] for other in others):
            count += 1
        shown.append(visible("/".join(parts[-count:]) or name))
    return shown


def _parts(path: str) -> list[str]:
    return [part for part in re.split(r"[\\/]+", path) if part and part != "~"]
