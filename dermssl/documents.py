"""JSON files of ours, read back: whatever became of one, the answer is one error with its name, fault and remedy.

A schema is a plain value that says what is expected:

- a type (``int``, ``str``, ``float``, ``bool``, ``list``, ``dict``), ``None``, or ``object`` for anything; a whole
  number passes as ``float``, and ``True`` never as a number;
- a tuple of schemas: one of them;
- ``[schema]``: a list of such items; ``[schema, schema]``: of exactly two, and so on;
- ``{"name": schema, "more?": schema}``: an object with these fields; those with ``?`` may be missing, and others may
  be there;
- ``{str: schema}``: an object whose values are all such.
"""

import errno
import json
import math
from pathlib import Path
from typing import Any

from dermssl.errors import DermsslError
from dermssl.regular import read_regular

MAX_BYTES = 256 * 2**20
MAX_DEPTH = 100  # of lists and objects inside one another; our deepest file has 8
_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
_NOT_UTF8 = "not text in UTF-8"


class MissingDocument(DermsslError):
    """There is no such file."""


class DamagedDocument(DermsslError):
    """A file of ours that does not hold what it should; the message has its path, what is wrong and what to do."""


def read_json(path: str | Path, what: str, schema: Any = object, *, remedy: str, max_bytes: int = MAX_BYTES) -> Any:
    """The content of a JSON file.

    Args:
        path: of the file.
        what: what it is, for the error: "the manifest of a prepared cache".
        schema: what it must hold, see above.
        remedy: what to do where it is damaged: "delete it and prepare the cache again".
        max_bytes: a larger file is not read.

    Raises:
        MissingDocument: there is no such file.
        DamagedDocument: it is not JSON in UTF-8, too deep or too large, or not of this schema.
        DermsslError: the system refuses to read it, which says nothing about its content.
    """
    return parse_json(_read(Path(path), what, remedy, max_bytes), f"{path}", what, schema, remedy=remedy)


def read_text(path: str | Path, what: str, *, remedy: str, max_bytes: int = MAX_BYTES) -> str:
    """The content of a text file of ours; the arguments are those of `read_json`.

    Raises:
        MissingDocument: there is no such file.
        DamagedDocument: it is not text in UTF-8.
        DermsslError: the system refuses to read it, or it is too large.
    """
    try:
        return _read(Path(path), what, remedy, max_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, what, _NOT_UTF8, remedy) from error


def read_json_lines(
    path: str | Path, what: str, schema: Any = object, *, remedy: str, max_bytes: int = MAX_BYTES
) -> list[Any | DamagedDocument]:
    """The lines of a JSON Lines file, each a value, or the error that says what is wrong with it.

    What follows the last line end is left out: a kill may have cut it short. Arguments as in `read_json`, where
    ``remedy`` is for the file as a whole.

    Raises:
        MissingDocument, DermsslError: as in `read_json`.
    """
    whole = _read(Path(path), what, remedy, max_bytes).rpartition(b"\n")[0]
    lines: list[Any | DamagedDocument] = []
    for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
        try:
            lines.append(parse_json(line, f"{path}, line {number},", what, schema, remedy="the line is left out"))
        except DamagedDocument as error:
            lines.append(error)
    return lines


def parse_json(text: bytes | str, where: str, what: str, schema: Any = object, *, remedy: str) -> Any:
    """The value of a JSON text; ``where`` names its place in errors, the rest is as in `read_json`.

    Raises:
        DamagedDocument: it is not JSON in UTF-8, or not of this schema.
    """
    try:
        # editors of Windows put a byte order mark in front
        value = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, object_pairs_hook=_object)
        fault = _unfit(value) or fault_of(value, schema)
    except RecursionError:
        fault = "nested too deeply"
    except UnicodeDecodeError:
        fault = _NOT_UTF8
    except json.JSONDecodeError as error:
        fault = f"not JSON: {error}" if text.strip() else "empty"
    except ValueError as error:  # a number of thousands of digits, a field that is there twice
        fault = str(error)
    if fault:
        raise damaged(where, what, fault, remedy)
    return value


def damaged(where: str | Path, what: str, fault: str, remedy: str) -> DamagedDocument:
    """The error for a file of ours whose content is wrong: also for what a schema cannot say."""
    return DamagedDocument(f"{where} is damaged ({what}: {fault}); {remedy}")


def fault_of(value: Any, schema: Any, name: str = "") -> str | None:
    """What keeps ``value`` from being of ``schema``, None if nothing does; ``name`` is its place in the document."""
    if isinstance(schema, tuple):
        if any(fault_of(value, one, name) is None for one in schema):
            return None
        return f"{name or 'it'} is {_shown(value)}, where {' or '.join(map(_expected, schema))} is expected"
    if isinstance(schema, list) and isinstance(value, list):
        if len(schema) > 1 and len(value) != len(schema):
            return f"{name or 'it'} has {len(value)} values, where {len(schema)} are expected"
        faults = (fault_of(item, schema[0], f"{name}[{index}]") for index, item in enumerate(value))
        return next(filter(None, faults), None)
    if isinstance(schema, dict) and isinstance(value, dict):
        return _fault_of_fields(value, schema, name)
    if _is(value, schema):
        return None
    return f"{name or 'it'} is {_shown(value)}, where {_expected(schema)} is expected"


def _fault_of_fields(value: dict[str, Any], schema: dict[Any, Any], name: str) -> str | None:
    for key, inner in schema.items():
        if key is str:
            faults = (fault_of(item, inner, f"{name}.{field}" if name else field) for field, item in value.items())
            fault = next(filter(None, faults), None)
        else:
            field = key.removesuffix("?")
            place = f"{name}.{field}" if name else field
            if field not in value:
                fault = None if key.endswith("?") else f"no {place}"
            else:
                fault = fault_of(value[field], inner, place)
        if fault:
            return fault
    return None


def _is(value: Any, schema: Any) -> bool:
    if schema is object:
        return True
    if schema is None:
        return value is None
    if not isinstance(schema, type):
        return False
    if isinstance(value, bool):
        return schema is bool
    return isinstance(value, (int, float) if schema is float else schema)


def _expected(schema: Any) -> str:
    kind = type(schema) if schema is None or isinstance(schema, dict | list) else schema
    return _NAMES.get(kind, "another value")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return _NAMES[type(value)]
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; Python would take the last of two fields of one name, and other readers the first."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{_shown(next(name for name in names if names.count(name) > 1))} is there twice")
    return fields


def _unfit(value: Any) -> str | None:
    """What no file of ours holds, and what would fail far from here.

    NUL, half of a surrogate pair, great depth, numbers that are not finite or larger than those of machines.
    """
    waiting = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return "nested too deeply"
        if isinstance(item, str):
            if "\0" in item:
                return "a text holds NUL"
            if not item.isascii() and any("\ud800" <= character <= "\udfff" for character in item):
                return "a text holds half of a surrogate pair"
        elif isinstance(item, float) and not math.isfinite(item):
            return f"a number is {item}"
        elif isinstance(item, int) and abs(item) >= 2**64:
            return f"a number has {len(str(abs(item)))} digits"
        elif isinstance(item, dict):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            waiting += [(part, depth + 1) for part in item]
    return None


def _read(path: Path, what: str, remedy: str, max_bytes: int) -> bytes:
    try:
        return read_regular(path, max_bytes)
    except FileNotFoundError as error:
        raise MissingDocument(f"{path}: there is no such file ({what}); {remedy}") from error
    except ValueError as error:  # a NUL in the path
        raise MissingDocument(f"{path!s}: {error} ({what}); give another name") from error
    except (OSError, MemoryError) as error:
        raise unreadable(path, error, remedy, what) from error


def unreadable(where: str | Path, error: OSError | MemoryError, remedy: str, what: str = "") -> DermsslError:
    """The error for a file that the system refuses to read; ``remedy`` is what its owner can do."""
    named = f"{where} cannot be read ({what})" if what else f"{where} cannot be read"
    if isinstance(error, MemoryError):
        return DermsslError(f"{named}: out of memory; close other programs and try again")
    return DermsslError(f"{named}: {error.strerror or error}; {advice(error, remedy)}")


def advice(error: OSError, otherwise: str) -> str:
    """What to do about a file that the system refuses to read; ``otherwise`` where only its owner can say."""
    return {
        errno.EACCES: "give yourself permission to read it",
        errno.EPERM: "give yourself permission to read it",
        errno.EMFILE: "raise the limit of open files (ulimit -n) and try again",
        errno.ENFILE: "close other programs and try again",
        errno.ENOMEM: "close other programs and try again",
        errno.EIO: "check the disk and try again",
        errno.ESTALE: "mount the network drive again and try again",
    }.get(error.errno or 0, otherwise)
