"""Texts that others wrote, in Markdown: shown as they are, neither obeyed nor run."""

import re
from html import escape
from typing import Any

from dermssl.privacy import printable

_CODE = re.compile(r"(`[^`]+`)")  # a span of code does no harm, and descriptions have them
_MARKS = re.compile(r"([\\`*\[\]~])")
# of a heading, a list or a rule: an entity is none, wherever it stands
_BEGINNINGS = re.compile(r"^(#+|[+-]|\d{1,9}[.)])(?=\s|$)|^[-=]+$")


def text(value: Any) -> str:
    """A value within a sentence or a cell, on one line."""
    line = " ".join(printable(str(value).replace("\n", " ").replace("\r", " ")).split())
    parts = (part if part.startswith("`") and part.endswith("`") and len(part) > 2 else _MARKS.sub(r"\\\1", part)
             for part in _CODE.split(line))  # fmt: skip
    shown = escape("".join(parts), quote=False)
    return _BEGINNINGS.sub(lambda found: f"{found[0][:-1]}&#{ord(found[0][-1])};", shown)


def code(value: Any) -> str:
    """A value as a span of code."""
    return f"`{printable(str(value)).replace('`', chr(39))}`"


def fenced(lines: str, language: str = "") -> str:
    """Lines of code, whatever fences they hold themselves."""
    fence = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", lines)), default=0))
    return f"{fence}{language}\n{lines.rstrip(chr(10))}\n{fence}"
