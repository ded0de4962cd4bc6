"""What a layout reader hands back, and how image files are listed and found by their ids."""

import filecmp
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern

from dermssl.data.layouts.names import (
    NOT_UTF8,
    folder_of_masks,
    is_derived,
    is_drawn,
    is_image,
    is_mask,
    is_utf8,
    loose,
    photographs,
    printable,
    stem_of,
)
from dermssl.data.records import Kind, Problem


@dataclass
class Row:
    """One image: the id it is reported by, its file, and what its table says (None = not said)."""

    id: str
    path: Path
    label: str | None = None
    lesion: str | None = None
    patient: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class Found:
    """The rows of a data folder in a recognised layout, before they become `Records`."""

    layout: str
    source: Path
    rows: list[Row]
    problems: list[Problem] = field(default_factory=list)


def list_images(folder: Path) -> tuple[list[Path], list[Problem]]:
    """Every image file below ``folder``, sorted; linked folders are followed once, hidden ones skipped.

    A link to a folder outside ``folder`` is followed and named; one to a folder that holds ``folder`` is not followed.
    Names that are not UTF-8 come back as problems: no manifest, table or log could hold them.
    """
    images: list[Path] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    top = os.path.realpath(folder)
    for where, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:  # a link back up: without this the walk would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        here = Path(where)
        images += [here / name for name in files if is_image(name) and is_utf8(name)]
        problems += [_not_utf8(here / name, folder) for name in sorted(files) if is_image(name) and not is_utf8(name)]
        problems += [_not_utf8(here / name, folder, whole=True) for name in folders if not is_utf8(name)]
        folders[:] = [name for name in folders if is_utf8(name) and not _leaves(here / name, folder, top, problems)]
    return sorted(images), problems


def _leaves(path: Path, folder: Path, top: str, problems: list[Problem]) -> bool:
    """Whether a folder is a link that must not be followed; one that leaves ``folder`` is named in any case."""
    if not path.is_symlink():
        return False
    target = os.path.realpath(path)
    if target == top or target.startswith(top + os.sep):
        return False
    above = top.startswith(target.rstrip(os.sep) + os.sep)
    said = (
        "a link to a folder that holds this one: not followed" if above else "a link that leaves the folder: followed"
    )
    problems.append(Problem(path.relative_to(folder).as_posix(), f"{said} ({target})", Kind.OUTSIDE))
    return above


def _not_utf8(path: Path, folder: Path, whole: bool = False) -> Problem:
    more = " (everything in this folder is left out)" if whole else ""
    return Problem(printable(path.relative_to(folder).as_posix()), NOT_UTF8 + more, Kind.BAD_NAME)


def without_masks(images: list[Path], folder: Path) -> tuple[list[Path], list[Path], list[Problem]]:
    """Photographs, masks by their own names, and a problem for each folder that holds masks or maps."""
    kept, masks = [], []
    names = photographs(stem_of(path.name) for path in images)
    left_out: Counter[str] = Counter()
    for path in images:
        parts = path.relative_to(folder).parts[:-1]
        name = folder_of_masks(parts)
        if is_mask(path) or is_drawn(stem_of(path.name), names):
            masks.append(path)
        elif name:
            left_out["/".join(parts[: parts.index(name) + 1])] += 1
        else:
            kept.append(path)
    stems: dict[str, set[Path]] = {}
    for path in kept:
        stems.setdefault(stem_of(path.name), set()).add(path.parent)
    derived = {
        path
        for path in kept
        if is_derived(parts := path.relative_to(folder).parts[:-1])
        and any(not is_derived(other.relative_to(folder).parts) for other in stems[stem_of(path.name)])
        and parts
    }
    for path in derived:
        left_out[path.parent.relative_to(folder).as_posix()] += 1
    problems = [
        Problem(
            name,
            f"{count:,} pictures that are not photographs by the folder's name: left out; rename it if they are",
            Kind.MASK,
        )
        for name, count in sorted(left_out.items())
    ]
    return [path for path in kept if path not in derived], masks, problems


class Files:
    """The photographs below a folder, found by their ids."""

    def __init__(self, folder: Path, images: Iterable[Path] | None = None) -> None:
        """List ``folder``, or take ``images`` of it."""
        self.folder = folder
        listed, self.problems = list_images(folder) if images is None else (list(images), [])
        self.images, self.masks, left_out = without_masks(listed, folder)
        self.problems += left_out
        self._stems: dict[str, list[Path]] = {}
        self._loose: dict[str, set[str]] = {}
        self._drawn: dict[str, list[Path]] = {}
        for paths, stems in ((self.images, self._stems), (self.masks, self._drawn)):
            for path in paths:
                stems.setdefault(stem_of(path.name), []).append(path)
        for stem in self._stems:
            self._loose.setdefault(loose(stem), set()).add(stem)

    def stem(self, image: str) -> list[Path]:
        """All files of an id, equal ones and others; of one that differs in spelling only, if there is no other.

        A table that names a_lesion means it, although it looks like a mask beside a.
        """
        exact = self._stems.get(stem_of(image)) or self._drawn.get(stem_of(image))
        if exact is None:
            alike = self._loose.get(loose(image), set())
            exact = self._stems[next(iter(alike))] if len(alike) == 1 else []
        return exact

    def named(self, image: str) -> list[Path]:
        """The different pictures that a bare name may mean; those with its very suffix, if there are any."""
        files = self.stem(image)
        files = [path for path in files if path.name == image] or files
        different: list[Path] = []
        for path in files:
            if not any(self._same(path, other) for other in different):
                different.append(path)
        return different

    def relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def unnamed(self, named: set[str]) -> list[Path]:
        """The photographs whose ids are not in ``named``, one per id."""
        meant = {stem_of(path.name) for name in named for path in self.stem(name)[:1]}
        return [paths[0] for stem, paths in self._stems.items() if stem not in meant]

    def _same(self, one: Path, other: Path) -> bool:
        if one.stat().st_size != other.stat().st_size:
            return False
        # Kaggle's HAM10000 holds every image twice, in folders that differ in capitals only
        return self.relative(one).casefold() == self.relative(other).casefold() or filecmp.cmp(one, other, False)

    def take(self, image: str, own: Pattern[str]) -> tuple[Path | None, Problem | None]:
        """The file of an id, and what is to be said about it.

        Args:
            image: the id, or the name of its file.
            own: names of the folders that the layout keeps its photographs in.
        """
        files = self.named(image)
        if len(files) <= 1:
            return (files[0] if files else None), None
        names = ", ".join(self.relative(path) for path in files[:3]) + (" ..." if len(files) > 3 else "")
        ours = [path for path in files if any(own.fullmatch(part) for part in path.relative_to(self.folder).parts[:-1])]
        if len(ours) == 1:
            reason = f"{len(files)} different pictures have this id ({names}): {self.relative(ours[0])} is taken"
            return ours[0], Problem(image, reason, Kind.AMBIGUOUS_FILE)
        reason = f"{len(files)} different pictures have this id ({names}): left out; keep one of them"
        return None, Problem(image, reason, Kind.AMBIGUOUS_FILE)
