"""Records: who the images are. Paths, labels and lesions of a data folder as read from any of the known layouts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dermssl.data.opener import FILES, Opener


class Kind(StrEnum):
    """What sort of thing was wrong: what programs ask for, and what problems of one sort are counted under."""

    UNREADABLE = "unreadable"
    COPY = "copy"
    CUT_SHORT = "cut short"
    MISSING_FILE = "missing file"
    AMBIGUOUS_FILE = "ambiguous file"
    OUTSIDE = "outside the folder"
    NO_ROW = "no row"
    REPEATED_ROW = "repeated row"
    NO_IMAGE = "no image"
    NOT_READ = "table not read"
    BAD_NAME = "bad name"
    MASK = "mask"
    LABEL = "label"
    GROUP = "group"
    JOINED = "joined"
    LEFT_OUT = "left out"
    OTHER = "other"

    @property
    def meaning(self) -> str:
        """What it says about an image or a table, without naming either."""
        return _MEANINGS.get(self, self.value)


_MEANINGS = {
    Kind.COPY: "byte for byte the same as another image",
    Kind.CUT_SHORT: "a JPEG that seems to have lost its end",
    Kind.MISSING_FILE: "named in the table, but there is no such file",
    Kind.AMBIGUOUS_FILE: "named in the table, but several files have this name",
    Kind.OUTSIDE: "points outside the folder",
    Kind.NO_ROW: "a file that the table does not name",
    Kind.REPEATED_ROW: "named in more than one row of the table",
    Kind.NO_IMAGE: "a row without an image",
    Kind.NOT_READ: "a table that was not read",
    Kind.BAD_NAME: "a name that is not UTF-8",
    Kind.MASK: "a mask, not a photograph",
    Kind.LABEL: "the label is not clear",
    Kind.JOINED: "images of two lesion ids made one group",
    Kind.LEFT_OUT: "looks like an image, or holds images, but was not read",
    Kind.GROUP: "the lesion is unknown",
}


@dataclass(frozen=True)
class Problem:
    """One thing that was wrong with the data and did not stop the run.

    Attributes:
        path: the image or table, relative to the data folder.
        reason: what is wrong with it, for people.
        kind: what sort of thing that is, for programs.
    """

    path: str
    reason: str
    kind: Kind = Kind.OTHER


@dataclass(frozen=True, eq=False)
class Records:
    """The images of a data set, none of them decoded.

    Attributes:
        source: the folder (or table) they were read from.
        layout: what it was recognised as: "ham10000", "isic 2019", "class folders", "image folder" ...
        paths: (N,) files, or places inside a file that holds many: ``images.zip/a.jpg``.
        ids: (N,) the name each image is reported by: an image id, or its path relative to the source.
        labels: (N,) int64, index into ``classes``; -1 = unknown.
        classes: sorted class names; () when nothing is labelled.
        groups: (N,) lesion of each image, or patient where that is known; None = unknown for all of them.
        attributes: further columns of the table, name -> (N,) texts.
        problems: what was missing, repeated, outside the folder ...
        opener: gives the bytes of an image by its path; the default reads files.
    """

    source: Path
    layout: str
    paths: tuple[Path, ...]
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    opener: Opener = FILES

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def joined(self) -> tuple[str, ...]:
        """What was made one group beyond what the tables say, and who says so: for reports."""
        return tuple(problem.reason for problem in self.problems if problem.kind is Kind.JOINED)

    def why_unlabelled(self) -> str:
        """What was found that could have given labels and did not, to end an error with; "" if nothing was."""
        reasons = [f"{p.path}: {p.reason}" for p in self.problems if p.kind in (Kind.NOT_READ, Kind.LABEL)]
        return f". Found, but of no use: {'; '.join(reasons[:5])}" if reasons else ""

    def select(self, index: Sequence[int] | npt.NDArray[np.integer]) -> "Records":
        """The records at ``index`` (M,), in that order; the classes stay as they are."""
        chosen = [int(i) for i in index]
        return replace(
            self,
            paths=tuple(self.paths[i] for i in chosen),
            ids=tuple(self.ids[i] for i in chosen),
            labels=self.labels[chosen],
            groups=None if self.groups is None else tuple(self.groups[i] for i in chosen),
            attributes={name: tuple(texts[i] for i in chosen) for name, texts in self.attributes.items()},
        )

    def labelled(self) -> "Records":
        """Only the records whose label is known."""
        return self.select(np.flatnonzero(self.labels >= 0))

    def class_counts(self) -> dict[str, int]:
        """Class name -> number of images, in the order of ``classes``."""
        counts = Counter(self.labels.tolist())
        return {name: counts[index] for index, name in enumerate(self.classes)}


def describe(records: Records) -> str:
    """What was found, in one line for the log."""
    parts = [f"{records.source}: {records.layout}, {len(records):,} images"]
    if records.classes:
        parts.append(", ".join(f"{name} {count:,}" for name, count in records.class_counts().items()))
        unknown = int((records.labels < 0).sum())
        parts += [f"{unknown:,} without a label"] if unknown else []
    else:
        parts.append("unlabelled")
    if records.groups is not None:
        parts.append(f"{len(set(records.groups)):,} lesions or patients")
    if records.problems:
        first = records.problems[0]
        counted = "1 problem (" if len(records.problems) == 1 else f"{len(records.problems):,} problems (first: "
        parts.append(f"{counted}{first.path}: {first.reason})")
    return "; ".join(parts)
