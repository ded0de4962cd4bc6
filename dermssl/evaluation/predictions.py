"""What a model answered for each test image, and the CSV file that holds it."""

import csv
import io
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from dermssl.csv_rows import write_rows
from dermssl.documents import unreadable
from dermssl.errors import DermsslError
from dermssl.files import replaced_file
from dermssl.regular import read_regular

MOST_BYTES = 2_000_000_000  # of a table; ten million answers
_AGAIN = "write it again with --predictions"
COLUMNS = ["image", "group", "fold", "label", "prediction"]


def is_predictions(path: Path) -> bool:
    """Whether ``path`` is a file whose header is that of a table of answers."""
    try:
        if not path.is_file():
            return False
        with path.open(encoding="utf-8", newline="") as file:
            return file.readline(200).startswith(",".join(COLUMNS) + ",")
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Predictions:
    """One row for each test image."""

    images: np.ndarray  # (N,) str, the name of the image
    groups: np.ndarray  # (N,) str, its lesion (or patient); its own name where unknown
    folds: np.ndarray  # (N,) int, the fold it was tested in
    labels: np.ndarray  # (N,) int, index into classes
    predictions: np.ndarray  # (N,) int, index into classes
    probabilities: np.ndarray  # (N, C) float64
    classes: tuple[str, ...]  # the C names

    def __len__(self) -> int:
        return len(self.images)

    def sorted(self) -> "Predictions":
        """The same rows in the order of the images' names."""
        return self.select(np.argsort(self.images, kind="stable"))

    def select(self, chosen: np.ndarray) -> "Predictions":
        """The rows at ``chosen`` (M,); the classes stay."""
        arrays = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "classes"}
        return Predictions(**arrays, classes=self.classes)

    def in_one_fold(self) -> "Predictions":
        """The same answers without their folds, for figures over all of them together."""
        return replace(self, folds=np.zeros(len(self), dtype=np.int64))

    def save(self, path: str | Path) -> None:
        """Write ``image,group,fold,label,prediction`` and one probability column for each class."""
        with replaced_file(Path(path)) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            write_rows(file, [[*COLUMNS, *self.classes], *map(self._cells, range(len(self)))])

    def _cells(self, i: int) -> list[object]:
        label, answer = self.classes[self.labels[i]], self.classes[self.predictions[i]]
        row = [self.images[i], self.groups[i], int(self.folds[i]), label, answer]
        return [*row, *(f"{p:.9g}" for p in self.probabilities[i])]

    @classmethod
    def load(cls, path: str | Path) -> "Predictions":
        """Read what ``save`` wrote. Raises DermsslError if the file is missing or is something else."""
        path = Path(path)
        try:
            text = read_regular(path, MOST_BYTES).decode("utf-8")
            header, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
        except FileNotFoundError as error:
            raise DermsslError(f"{path}: no such file of predictions; write one with --predictions {path}") from error
        except OSError as error:
            raise unreadable(path, error, _AGAIN) from error
        except (ValueError, csv.Error) as error:
            raise DermsslError(f"{path}: cannot be read as a table of predictions ({error}); {_AGAIN}") from error
        classes = tuple(header[len(COLUMNS) :])
        if header[: len(COLUMNS)] != COLUMNS or not classes or any(len(row) != len(header) for row in rows):
            raise DermsslError(
                f"{path}: not a table of predictions, whose columns are {','.join(COLUMNS)},CLASS...; {_AGAIN}"
            )
        number = {name: i for i, name in enumerate(classes)}
        try:
            result = cls(
                images=np.array([row[0] for row in rows], dtype=str),
                groups=np.array([row[1] for row in rows], dtype=str),
                folds=np.array([int(row[2]) for row in rows]),
                labels=np.array([number[row[3]] for row in rows]),
                predictions=np.array([number[row[4]] for row in rows]),
                probabilities=np.array([row[len(COLUMNS) :] for row in rows], dtype=float),
                classes=classes,
            )
        except (KeyError, ValueError, OverflowError) as error:
            raise DermsslError(f"{path}: a row cannot be read ({error}); {_AGAIN}") from error
        names, counts = np.unique(result.images, return_counts=True)
        if (counts > 1).any():
            raise DermsslError(f"{path}: {names[counts > 1][0]} is there {counts.max()} times; {_AGAIN}")
        if not len(result) or len(number) != len(classes):
            raise DermsslError(f"{path}: holds no predictions, or two columns of one class; {_AGAIN}")
        if not ((result.probabilities >= 0) & (result.probabilities <= 1)).all():
            raise DermsslError(f"{path}: some of its probabilities are not between 0 and 1; {_AGAIN}")
        return result
