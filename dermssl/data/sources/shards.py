"""WebDataset: .tar shards in which ``0001.jpg`` has its label in ``0001.cls`` and more in ``0001.json``."""

import json
from pathlib import Path, PurePosixPath

from dermssl.data.layouts.names import is_drawn, photographs, stem_of
from dermssl.data.layouts.table import SUFFIXES
from dermssl.data.records import Kind, Problem
from dermssl.data.sources.archives import TarArchive
from dermssl.data.sources.container import Container, Contents, Member
from dermssl.data.sources.tables import as_csv, label_column, split_of_file, with_label

_SIDECARS = frozenset({".cls", ".json", ".txt"})


class Shards(Container):
    """The shards of one data set, with what goes with each image as a table."""

    def __init__(self, path: Path, files: tuple[Path, ...] = ()) -> None:
        super().__init__(path, files)
        self._tars = [TarArchive(file) for file in self.files]

    def contents(self) -> Contents:
        found, rows, lists = Contents(), [], set[str]()
        for number, (file, tar) in enumerate(zip(self.files, self._tars, strict=True)):
            inside = tar.contents()
            split = split_of_file(file, self.path)
            place = file.parent.relative_to(self.path) if len(self.files) > 1 else PurePosixPath()
            beside = _by_key(inside.tables)
            found.others += [f"{file.name}/{name}" for name in inside.others]
            found.problems += inside.problems
            of = photographs(stem_of(name) for name in inside.images)
            # a table of the whole beside the images: what it adds is joined to theirs
            found.tables |= {
                f"{file.name}.{PurePosixPath(name).name}": text
                for name, text in inside.tables.items()
                if PurePosixPath(name).suffix.lower() in SUFFIXES - _SIDECARS
            }
            for name, member in inside.images.items():
                if is_drawn(stem_of(name), of):
                    found.problems.append(Problem(name, "a mask, not a photograph: left out", Kind.MASK))
                    continue
                image = (place / file.name.split(".")[0] / name).as_posix() if len(self.files) > 1 else name
                found.images[image] = Member((number, member.key), member.size, member.print)
                own = beside.get(_key(name), {})
                cells = _cells(own, lists)
                if cells is None:
                    found.problems.append(Problem(image, "the .json beside it cannot be read", Kind.NOT_READ))
                    cells = _cells({name: text for name, text in own.items() if name != ".json"}, lists) or {}
                cells |= {"split": split} if split and "split" not in cells else {}
                rows.append({**cells, "image": image})
        found.problems += [
            Problem(name, "a field of the .json files that holds lists or objects: left out", Kind.LEFT_OUT)
            for name in sorted(lists)
        ]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        label = label_column(columns)
        found.tables["table.csv"] = as_csv([with_label(row, label) for row in rows])
        return found

    def read(self, key: object) -> bytes:
        assert isinstance(key, tuple)
        number, place = key
        return self._tars[number].read(place)


def is_shard(contents: Contents) -> bool:
    """Whether a .tar is one of a WebDataset: images with something of the same key beside them."""
    keys = _by_key(contents.tables)
    return any(_key(name) in keys for name in contents.images)


def _key(name: str) -> str:
    """WebDataset's key: the name up to the first dot after its folders."""
    path = PurePosixPath(name)
    return (path.parent / path.name.split(".")[0]).as_posix()


def _by_key(tables: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for name, text in tables.items():
        if PurePosixPath(name).suffix.lower() in _SIDECARS:
            found.setdefault(_key(name), {})[PurePosixPath(name).suffix.lower()] = text
    return found


def _cells(beside: dict[str, bytes], lists: set[str]) -> dict[str, object] | None:
    """One row of the table: the columns of the JSON, and the class; None where the JSON cannot be read.

    What holds several values is added to ``lists``.
    """
    cells: dict[str, object] = {}
    if ".json" in beside:
        try:
            # other people's: NaN and fields that are there twice lose no label
            values = json.loads(beside[".json"].decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None
        if isinstance(values, dict):
            cells = {str(name): value for name, value in values.items() if isinstance(value, str | int | float)}
            lists |= {str(name) for name, value in values.items() if isinstance(value, list | dict)}
    if ".cls" in beside:
        cells["label"] = beside[".cls"].decode("utf-8", "replace").strip()
    if ".txt" in beside:
        cells.setdefault("text", beside[".txt"].decode("utf-8", "replace").strip())
    return cells
