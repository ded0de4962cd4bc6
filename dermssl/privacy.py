"""What may leave this machine: names without paths, text without control characters, addresses without passwords."""

import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dermssl.terminal import visible

# An absolute path within a sentence; the last part is what is told of it. Neither and/or nor 1/2 is one.
_PART = r"""[^\s/\\,;:()\[\]"'<>|]+"""
_PATH = re.compile(rf"(?<![\w./\\:~-])(?:[A-Za-z]:[\\/]|~?/)(?:{_PART}[\\/])*({_PART})[\\/]?")
_WHOLE = re.compile(r"(?:[A-Za-z]:[\\/]|~?/)[^\n]*")


def last_part(path: str | None) -> str:
    """The last part of a path, whatever system wrote it."""
    return (path or "").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """The values, each path cut to its last part: where people keep their images is nobody else's business."""
    changed: dict[str, Any] = _each_text(values, lambda text: last_part(text) if "/" in text or "\\" in text else text)
    return changed


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A value that JSON can hold, each text in it changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    return [_each_text(item, change) for item in value] if isinstance(value, list | tuple) else value


def without_folders(text: str, *folders: str | Path) -> str:
    """A message or a traceback, each absolute path in it cut to its last part.

    Args:
        text: to be handed on.
        folders: known ones, whose names may have spaces, where no rule tells a path's end.
    """
    places = {str(place) for folder in folders for place in (Path(folder), Path(folder).absolute().parent)}
    for place in sorted(places, key=len, reverse=True):
        if place.startswith("/") and place != "/":
            text = re.sub(rf"{re.escape(place.rstrip('/'))}/(?=\S)", "", text)
            text = re.sub(rf"{re.escape(place.rstrip('/'))}(?![\w.-])", last_part(place), text)
    return _PATH.sub(lambda match: match[1], text)


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


def handed_on(value: Any) -> Any:
    """A value of a file that others may read: each absolute path in its texts cut to its last part; keys stay."""
    return _each_text(value, spoken)


def printable(text: str) -> str:
    """One line of text that a terminal shows and does not obey: control characters and line ends become "\\ufffd"."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)


def is_private(endpoint: str) -> bool:
    """Whether a token may be sent to an address: by https, or to this machine itself."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


@contextlib.contextmanager
def no_open_token() -> Iterator[None]:
    """Keep the Hub's library, whoever calls it in the body, from sending a token in the clear."""
    from huggingface_hub import constants  # slow to import, and of no use to the rest

    before = constants.HF_HUB_DISABLE_IMPLICIT_TOKEN
    constants.HF_HUB_DISABLE_IMPLICIT_TOKEN = before or not is_private(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_IMPLICIT_TOKEN = before


def without_password(url: str) -> str:
    """An address without ``user:password@``, for a message."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]))


def masked(text: str, *secrets: str | None) -> str:
    """``text`` without the secrets, without anything that looks like a token of the Hub, without passwords in URLs."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = re.sub(r"\bhf_\w+|(?i:(?<=bearer )|(?<=basic ))\S+", "***", text)
    return re.sub(r"(\w+://)[^/\s]+@", r"\1***@", text)
