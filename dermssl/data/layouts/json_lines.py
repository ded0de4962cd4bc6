"""Tables of JSON lines, such as the Hub's ``metadata.jsonl``: an object per line, its keys the columns."""

import json
from pathlib import Path
from typing import Any

from dermssl.errors import DermsslError

SUFFIX = ".jsonl"


def first_keys(text: str) -> list[str]:
    """The keys of the lines in the head of a file; [] where they are no objects."""
    try:
        return _keys(_objects(Path(), text))
    except DermsslError:
        return []


def read_json_lines(path: Path, text: str) -> tuple[list[str], list[dict[str, str]]]:
    """The keys of all lines, and what each line says under them: texts as they are, "" for null or a missing key.

    Raises:
        DermsslError: a line is no object, or names a key twice; names the line.
    """
    objects = _objects(path, text)
    keys = _keys(objects)
    return keys, [{key: _cell(line.get(key)) for key in keys} for line in objects]


def _keys(objects: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for line in objects for key in line))


def _objects(path: Path, text: str) -> list[dict[str, Any]]:
    objects = []
    for number, line in enumerate(text.split("\n"), 1):  # a text may hold other line ends
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise DermsslError(f"{path}, line {number}: not a line of JSON: {error}; mend that line") from error
        if not isinstance(value, dict):
            raise DermsslError(f"{path}, line {number}: not an object {{...}} that names an image; mend that line")
        objects.append(value)
    return objects


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} appears twice")
    return result


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
