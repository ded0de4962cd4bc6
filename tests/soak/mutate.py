"""Damage to files, drawn from a seed: bytes, JSON values, table cells, and what is no file at all."""

import csv
import io
import json
import os
import random
import socket
from pathlib import Path
from typing import Any

_VALUES = (
    None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "x" * 300, "\0", "\ud800", "../../../etc/passwd",
    "<script>", [], {}, [None], {"a": 1}, 9000, "nan", "\x1b[31m", "\r",
)  # fmt: skip
_CELLS = ("", "nan", "\r", "\x00", "é", "../x.jpg", "/etc/passwd", '"', "a,b", "x" * 300, "-1", "1e999", "\x1b[2J")
SPECIAL = ("FIFO", "folder", "loop of links", "link to /dev/zero", "socket", "sparse file of 40 GB", "missing")


def mutate(path: Path, draw: random.Random) -> str:
    """Damage the file at ``path`` in one way; returns what was done."""
    kind = draw.random()
    if kind < 0.12:
        return _special(path, draw.choice(SPECIAL))
    data = path.read_bytes()
    text = path.suffix in (".json", ".jsonl", ".csv") or path.name == "journal"
    if not data:
        done, data = "a bracket", b"["
    elif text and kind < 0.25:
        done, data = _text(data, draw)
    elif text and kind < 0.7:
        done, data = (_cells if path.suffix == ".csv" else _json)(data, draw)
    elif path.suffix == ".safetensors" and kind < 0.5:
        size = int.from_bytes(data[:8], "little")
        done, header = _json(data[8 : 8 + size], draw)
        data = len(header).to_bytes(8, "little") + header + data[8 + size :]
    else:
        done, data = _bytes(data, draw)
    path.write_bytes(data)
    return done


def _bytes(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    at = draw.randrange(max(1, len(data)))
    length = draw.choice((1, 4, 64, 1024))
    match draw.randrange(8):
        case 0:
            return "empty", b""
        case 1:
            return f"cut at {at}", data[:at]
        case 2:
            turned = bytes(byte ^ (1 << draw.randrange(8)) for byte in data[at : at + 1])
            return f"a bit of byte {at} turned", data[:at] + turned + data[at + 1 :]
        case 3:
            return f"{length} random bytes at {at}", data[:at] + draw.randbytes(length) + data[at + length :]
        case 4:
            return f"{length} bytes at {at} gone", data[:at] + data[at + length :]
        case 5:
            return f"{length} bytes at {at} doubled", data[: at + length] + data[at:]
        case 6:
            return f"{length} zeros at {at}", data[:at] + bytes(length) + data[at + length :]
    return "200,000 brackets", b"[" * 200_000


def _text(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """What editors, tools and other systems do to a text."""
    match draw.randrange(8):
        case 0:
            return "a BOM", b"\xef\xbb\xbf" + data
        case 1:
            return "UTF-16", data.decode().encode("utf-16")
        case 2:
            return "cut in the middle of a character", data[: draw.randrange(len(data) + 1)] + "é".encode()[:1]
        case 3:
            return "CRLF", data.replace(b"\n", b"\r\n")
        case 4:
            return "NUL in front", b"\0" + data
        case 5:
            return "the same twice", data + data
        case 6:
            return "lines backwards", b"\n".join(reversed(data.splitlines())) + b"\n"
    return "in a list", b"[" + data + b"]"


def _json(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    try:
        json.loads(data)
        lines = [data.decode()]
    except ValueError:  # a value on each line
        lines = data.decode().splitlines()
    number = draw.randrange(len(lines))
    value = json.loads(lines[number])
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        places += [(item, key) for key in keys]
        waiting += [item[key] for key in keys]
    if not places or draw.random() < 0.05:
        new: Any = draw.choice(_VALUES)
        lines[number] = json.dumps(new)
        return f"the whole is {new!r:.30}", "\n".join(lines).encode() + b"\n"
    holder, key = draw.choice(places)
    how = draw.random()
    if how < 0.2:
        del holder[key]
        done = f"no {key}"
    elif how < 0.3 and isinstance(holder, dict):
        other, new = f"{key}\x00again", draw.choice(_VALUES)
        holder[other] = new
        done = f"{key} twice, the second {new!r:.30}"
        lines[number] = json.dumps(value).replace(json.dumps(other), json.dumps(key))
        return done, "\n".join(lines).encode() + b"\n"
    elif how < 0.4:
        holder[key] = [holder[key]]
        done = f"{key} in a list"
    else:
        holder[key] = draw.choice(_VALUES)
        done = f"{key} = {holder[key]!r:.30}"
    lines[number] = json.dumps(value)
    return done, "\n".join(lines).encode() + b"\n"


def _cells(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    row = draw.choice(rows)
    column = draw.randrange(len(row))
    match draw.randrange(5):
        case 0:
            done = f"row {rows.index(row)} is short"
            del row[column:]
        case 1:
            done = f"row {rows.index(row)} twice"
            rows.append(list(row))
        case 2:
            done = f"no row {rows.index(row)}"
            rows.remove(row)
        case _:
            row[column] = draw.choice(_CELLS)
            done = f"row {rows.index(row)}, column {column} = {row[column]!r:.30}"
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return done, text.getvalue().encode(draw.choice(("utf-8", "utf-8-sig", "utf-16", "utf-8")))


def _special(path: Path, kind: str) -> str:
    path.unlink()
    match kind:
        case "FIFO":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "loop of links":
            path.symlink_to(path.name)
        case "link to /dev/zero":
            path.symlink_to("/dev/zero")
        case "socket":
            here = os.getcwd()
            os.chdir(path.parent)  # a socket's path may have 100 characters
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
            os.chdir(here)
        case "sparse file of 40 GB":
            with path.open("wb") as file:
                file.truncate(40 * 10**9)
    return kind
