"""What a model answered for each test image, and the CSV file that holds it."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from dermssl.errors import DermsslError
from dermssl.files import replaced_file

COLUMNS = ["image", "group", "fold", "label", "prediction"]


@dataclass(frozen=True)
class Predictions:
    """One row a test image."""

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
        order = np.argsort(self.images, kind="stable")
        arrays = {f.name: getattr(self, f.name)[order] for f in fields(self) if f.name != "classes"}
        return Predictions(**arrays, classes=self.classes)

    def save(self, path: str | Path) -> None:
        """Write ``image,group,fold,label,prediction`` and one probability column a class."""
        with replaced_file(Path(path)) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*COLUMNS, *self.classes])
            for i in range(len(self)):
                label, answer = self.classes[self.labels[i]], self.classes[self.predictions[i]]
                row = [self.images[i], self.groups[i], int(self.folds[i]), label, answer]
                writer.writerow([*row, *(f"{p:.9g}" for p in self.probabilities[i])])

    @classmethod
    def load(cls, path: str | Path) -> "Predictions":
        """Read what ``save`` wrote. Raises DermsslError if the file is missing or is something else."""
        path = Path(path)
        if not path.is_file():
            raise DermsslError(f"{path}: no such file of predictions; write one with --predictions {path}")
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        classes = tuple(header[len(COLUMNS) :])
        if header[: len(COLUMNS)] != COLUMNS or not classes or any(len(row) != len(header) for row in rows):
            raise DermsslError(f"{path}: not a table of predictions, whose columns are {','.join(COLUMNS)},CLASS...")
        number = {name: i for i, name in enumerate(classes)}
        try:
            return cls(
                images=np.array([row[0] for row in rows], dtype=str),
                groups=np.array([row[1] for row in rows], dtype=str),
                folds=np.array([int(row[2]) for row in rows]),
                labels=np.array([number[row[3]] for row in rows]),
                predictions=np.array([number[row[4]] for row in rows]),
                probabilities=np.array([row[len(COLUMNS) :] for row in rows], dtype=float),
                classes=classes,
            )
        except (KeyError, ValueError) as error:
            raise DermsslError(f"{path}: a row cannot be read ({error})") from error
