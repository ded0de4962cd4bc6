"""The result of an evaluation: figures, what they depend on, and the answers they were computed from."""

import json
import logging
import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dermssl.errors import DermsslError
from dermssl.evaluation.metrics import TITLES, confusion
from dermssl.evaluation.predictions import Predictions, is_predictions
from dermssl.evaluation.stored import COUNTS, read_report
from dermssl.evaluation.subgroups import subgroup_table
from dermssl.files import write_text
from dermssl.privacy import handed_on, spoken
from dermssl.tables import markdown_table, percent

LOGGER = logging.getLogger("dermssl")

# the fields that say where something lies
_ORIGIN = ("weights", "data", "protocol", "records", "split", "notes")


@dataclass(frozen=True)
class Report:
    """One evaluation of one set of weights. All metrics are fractions of 1, NaN (null in JSON) if undefined.

    Attributes:
        kind: ``"knn"``, ``"finetune"`` or ``"frozen"``.
        weights, data: as they were given.
        protocol: every parameter that affects the numbers.
        classes: their names.
        metrics: mean over folds.
        std: sample standard deviation over folds (n - 1); NaN for one fold.
        interval: bootstrap 95 % interval of ``metrics``, over groups.
        majority_accuracy: that of always answering the training folds' most frequent class.
        per_class: class -> precision, recall, F1, AUROC and number of images, all folds together.
        confusion: (C, C), rows are labels, all folds together.
        folds: the metrics of each fold.
        records: what the data was: layout, images, classes, hash ...
        split: how it was divided, and the groups it cut or would have cut.
        by: column -> results of its subgroups.
        notes: what a reader of the numbers should know.
        versions: of dermssl, torch, timm and others.
        weights_sha256: of the file of weights, which says which they are wherever they lie; "" without a file.
        predictions: the answer for each image; None in a report that was loaded without them.
    """

    kind: str
    weights: str
    data: str
    protocol: dict[str, Any]
    classes: tuple[str, ...]
    metrics: dict[str, float]
    std: dict[str, float]
    interval: dict[str, tuple[float, float]]
    majority_accuracy: float
    per_class: dict[str, dict[str, Any]]
    confusion: list[list[int]]
    folds: list[dict[str, Any]]
    records: dict[str, Any]
    split: dict[str, Any]
    by: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    predictions: Predictions | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it: without the answers (``save`` and ``--predictions`` write those as CSV).

        It may be handed on: absolute paths are cut to their last part.
        """
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "predictions"}
        return values | {name: handed_on(values[name]) for name in _ORIGIN}

    def to_json(self) -> str:
        """``to_dict`` as one JSON object."""
        return json.dumps(self.to_dict(), indent=1)

    def to_markdown(self) -> str:
        """Tables of the metrics, of the classes and of the subgroups, and the notes."""
        protocol = handed_on(self.protocol)
        shown = {key: value for key, value in protocol.items() if isinstance(value, str | int | float)}
        rows = [
            [
                TITLES[name],
                percent(value),
                percent(self.std[name]),
                " to ".join(percent(edge) for edge in self.interval[name]),
            ]
            for name, value in self.metrics.items()
            if not math.isnan(value)
        ]
        rows.insert(1, ["(always predicting the most frequent class)", percent(self.majority_accuracy), "", ""])
        lines = [
            f"## {self.kind}: {spoken(self.weights)} on {spoken(self.data)}",
            "",
            ", ".join(f"{key} {value}" for key, value in shown.items()),
            *self._groups(),
            "",
            markdown_table(
                ["metric, %", "mean of folds" if len(self.folds) > 1 else "test set", "std", "95 % interval"], rows
            ),
            "",
            markdown_table(
                ["class", "images", "precision", "recall", "F1", "AUROC"],
                [
                    [
                        name,
                        str(c["support"]),
                        *(percent(c[key]) for key in ("precision", "recall", "f1", "auroc")),
                    ]
                    for name, c in self.per_class.items()
                ],
            ),
        ]
        for column, rows_by in self.by.items():
            lines += ["", markdown_table(*subgroup_table(column, rows_by))]
        if self.notes:
            lines += ["", *(f"- Note: {note}." for note in handed_on(self.notes))]
        return "\n".join(lines)

    def _groups(self) -> list[str]:
        """What the split did to lesions with several images."""
        count, repeated, cut, plainly = (self.split.get(name) for name in COUNTS)
        if not count or repeated is None or cut is None:
            return []
        kind = "part" if self.split.get("split") == "given" else "fold"
        here = f"{cut} have images in more than one {kind}"
        if plainly is not None:  # given parts are not compared with one
            here += f" here, {plainly} in a plain split"
        return [f"{count} lesions, {repeated} of them with several images: {here}"]

    def save(self, path: str | Path) -> Path:
        """Write the report; returns the JSON file.

        Args:
            path: a folder, which gets ``report.json``, ``report.md`` and ``report.predictions.csv``; or the
                name of a ``.json`` file, beside which the predictions go.
        """
        path = Path(path)
        file = path if path.suffix == ".json" else path / "report.json"
        if self.predictions is not None:
            self.predictions.save(file.with_suffix(".predictions.csv"))
        if file != path:
            write_text(file.with_suffix(".md"), self.to_markdown() + "\n")
        write_text(file, self.to_json() + "\n")
        return file

    @classmethod
    def load(cls, path: str | Path, predictions: str | Path | None = None) -> "Report":
        """Read a report that ``save`` or ``--json`` wrote.

        Args:
            path: the JSON file, or the folder given to ``save``.
            predictions: the CSV of answers; by default the one that ``save`` put beside it, or one of the report's
                own name (``a.json`` and ``a.csv``), if there is one.

        Raises:
            DermsslError: a file is missing or is not a report, or the answers are those of another one.
        """
        file = Path(path)
        file = file / "report.json" if file.is_dir() else file
        csv = predictions or _beside(file)
        report = cls(**read_report(file), predictions=Predictions.load(csv) if csv else None)
        answers = report.predictions
        if answers is not None and (
            answers.classes != report.classes
            or confusion(answers.labels, answers.predictions, answers.classes).tolist() != report.confusion
        ):
            raise DermsslError(
                f"{csv}: these are not the answers that {file} was computed from; give those that were written with it "
                "(--predictions), or evaluate again"
            )
        return report


def _beside(file: Path) -> Path | None:
    """The answers that lie beside a report."""
    if (saved := file.with_suffix(".predictions.csv")).is_file():
        return saved
    same_name = file.with_suffix(".csv")
    if is_predictions(same_name):
        return same_name
    if os.path.lexists(same_name):
        LOGGER.warning("%s is left out: it does not begin as a table of predictions does", same_name)
    return None


def plain(value: Any) -> Any:
    """What JSON can hold: no NaN (it is not JSON), no tuples, no paths."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
