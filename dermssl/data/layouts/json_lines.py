"""Tables of JSON lines, such as the Hub's ``metadata.jsonl``: an object per line, its keys the columns."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dermssl.documents import parse_json
from dermssl.errors import DermsslError

SUFFIX = ".jsonl"


def first_keys(text: str) -> list[str]:
    """The keys of the lines in the head of a file, up to the first that is no object: whoever reads it all names it."""
    objects: list[dict[str, Any]] = []
    with suppress(DermsslError):
        objects.extend(_objects(Path(), text))
    return _keys(objects)


def keys_and_rows(path: Path, text: str) -> tuple[list[str], list[dict[str, str]]]:
    """The keys of all lines, and what each line says under them: texts as they are, "" for null or a missing key.

    Raises:
        DermsslError: a line is no object, or names a key twice; names the line.
    """
    objects = list(_objects(path, text))
    keys = _keys(objects)
    return keys, [{key: _cell(line.get(key)) for key in keys} for line in objects]


def _keys(objects: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for line in objects for key in line))


def _objects(path: Path, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):  # a text may hold other line ends
        if line.strip():
            yield parse_json(line, f"{path}, line {number},", "a row of a table", dict, remedy="mend that line")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
