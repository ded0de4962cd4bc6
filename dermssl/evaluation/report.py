"""The result of an evaluation: figures, what they depend on, and the answers they were computed from."""

import json
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

import dermssl
from dermssl.errors import DermsslError
from dermssl.evaluation import metrics as m
from dermssl.evaluation.intervals import RESAMPLES, bootstrap, interval
from dermssl.evaluation.predictions import Predictions
from dermssl.evaluation.protocol import Protocol
from dermssl.files import write_text

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision_macro": "precision, macro",
    "precision_weighted": "precision, weighted (paper)",
    "recall_macro": "recall, macro (paper)",
    "f1_macro": "F1, macro",
    "f1_weighted": "F1, weighted (paper)",
    "auroc_macro": "AUROC, macro one-vs-rest",
    m.MELANOMA_METRIC: "melanoma sensitivity at 95 % specificity",
    "ece": "expected calibration error",
}


@dataclass(frozen=True)
class Report:
    """One evaluation of one set of weights. All metrics are fractions of 1; NaN where undefined (null in
    JSON).
    """

    kind: str  # "knn", "finetune" or "frozen"
    weights: str
    data: str  # as it was given
    protocol: dict[str, Any]  # every parameter that moves the numbers
    classes: tuple[str, ...]
    metrics: dict[str, float]  # mean over folds
    std: dict[str, float]  # sample standard deviation over folds (n - 1); NaN for one fold
    interval: dict[str, tuple[float, float]]  # bootstrap 95 % interval of ``metrics``, over groups
    majority_accuracy: float  # of always answering the training folds' most frequent class
    per_class: dict[str, dict[str, Any]]  # all folds together
    confusion: list[list[int]]  # (C, C), rows are labels, all folds together
    folds: list[dict[str, Any]]  # the metrics of each fold
    records: dict[str, Any]  # what the data was: layout, images, classes, hash ...
    split: dict[str, Any]  # how it was divided, and the groups it cut or would have cut
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    predictions: Predictions | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> str:
        """One JSON object, without the answers (``save`` and ``--predictions`` write those as CSV)."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "predictions"}
        return json.dumps(_plain(values), indent=1)

    def to_markdown(self) -> str:
        """A table of the metrics, one of the classes, and the notes."""
        rows = [
            [
                TITLES[name],
                _percent(value),
                _percent(self.std[name]),
                " to ".join(_percent(edge) for edge in self.interval[name]),
            ]
            for name, value in self.metrics.items()
            if not math.isnan(value)
        ]
        rows.insert(
            1, ["(always answering the most frequent class)", _percent(self.majority_accuracy), "", ""]
        )
        lines = [
            f"## {self.kind}: {self.weights} on {self.data}",
            "",
            ", ".join(f"{key} {value}" for key, value in self.protocol.items() if value is not None),
            "",
            _table(["metric, %", "mean of folds", "std", "95 % interval"], rows),
            "",
            _table(
                ["class", "images", "precision", "recall", "F1", "AUROC"],
                [
                    [
                        name,
                        str(c["support"]),
                        *(_percent(c[key]) for key in ("precision", "recall", "f1", "auroc")),
                    ]
                    for name, c in self.per_class.items()
                ],
            ),
        ]
        if self.notes:
            lines += ["", *(f"- Note: {note}." for note in self.notes)]
        return "\n".join(lines)

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
            predictions: the CSV of answers; by default the one that ``save`` put beside it, if it is there.

        Raises:
            DermsslError: a file is missing or is not a report.
        """
        file = Path(path)
        file = file / "report.json" if file.is_dir() else file
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            missing = {f.name for f in fields(cls) if f.name != "predictions"} - set(values)
        except (OSError, ValueError, TypeError) as error:
            raise DermsslError(f"{file}: cannot be read as a report of an evaluation ({error})") from error
        if missing:
            raise DermsslError(
                f"{file}: not a report of an evaluation; it lacks {', '.join(sorted(missing))}"
            )
        beside = file.with_suffix(".predictions.csv")
        csv = predictions or (beside if beside.exists() else None)
        values = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        values["classes"], values["notes"] = tuple(values["classes"]), tuple(values["notes"])
        values["metrics"], values["std"] = _numbers(values["metrics"]), _numbers(values["std"])
        values["interval"] = {
            name: tuple(float("nan") if edge is None else edge for edge in edges)
            for name, edges in values["interval"].items()
        }
        values["per_class"] = {name: _numbers(figures) for name, figures in values["per_class"].items()}
        values["folds"] = [_numbers(fold) for fold in values["folds"]]
        return cls(**values, predictions=Predictions.load(csv) if csv else None)


def make_report(
    *,
    kind: str,
    weights: str,
    data: str,
    protocol: Protocol,
    parameters: dict[str, Any],
    answers: list[np.ndarray],
    resamples: int = RESAMPLES,
) -> Report:
    """The report of an evaluation.

    Args:
        parameters: every parameter that moves the numbers.
        answers: for each round of the protocol the (n, C) probabilities of its test images.
        resamples: of the bootstrap.
    """
    classes = protocol.train.classes
    order = np.concatenate([round_.test for round_ in protocol.rounds])
    probabilities = np.concatenate(answers).astype(np.float64)
    test = protocol.test
    predictions = Predictions(
        images=test.ids[order],
        groups=test.groups[order],
        folds=np.concatenate([np.full(len(round_.test), round_.fold) for round_ in protocol.rounds]),
        labels=test.labels[order],
        predictions=probabilities.argmax(axis=1),
        probabilities=probabilities,
        classes=classes,
    )
    folds, majority = [], []
    for round_, answer in zip(protocol.rounds, answers, strict=True):
        labels = test.labels[round_.test]
        folds.append(m.classification_metrics(labels, answer.astype(np.float64), classes))
        majority.append(float((labels == np.bincount(protocol.train.labels[round_.train]).argmax()).mean()))
    mean = {name: _over(folds, name, np.mean) for name in m.METRICS}
    std = {
        name: _over(folds, name, lambda v: np.std(v, ddof=1) if len(v) > 1 else np.nan) for name in m.METRICS
    }
    samples = bootstrap(predictions, resamples=resamples)
    return Report(
        kind=kind,
        weights=weights,
        data=data,
        protocol=parameters,
        classes=classes,
        metrics=mean,
        std=std,
        interval={name: interval(samples[name]) for name in m.METRICS},
        majority_accuracy=float(np.mean(majority)),
        per_class=m.per_class(predictions.labels, probabilities, predictions.predictions, classes),
        confusion=m.confusion(predictions.labels, predictions.predictions, classes).tolist(),
        folds=[
            {
                "fold": round_.fold,
                "train_images": len(round_.train),
                "test_images": len(round_.test),
                **values,
            }
            for round_, values in zip(protocol.rounds, folds, strict=True)
        ],
        records={"train": protocol.train.about, "test": None if test is protocol.train else test.about},
        split=protocol.split,
        notes=protocol.notes,
        versions=_versions(),
        predictions=predictions,
    )


def _over(folds: list[dict[str, float]], name: str, reduce: Any) -> float:
    values = [fold[name] for fold in folds if not math.isnan(fold[name])]
    return float(reduce(values)) if values else float("nan")


def _versions() -> dict[str, str]:
    import sklearn
    import timm
    import torch

    return {
        "dermssl": dermssl.__version__,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "scikit-learn": sklearn.__version__,
    }


def _plain(value: Any) -> Any:
    """What JSON can hold: no NaN (it is not JSON), no tuples, no paths."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """The inverse of ``_plain`` for named figures: null was NaN."""
    return {name: float("nan") if value is None else value for name, value in values.items()}


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, padded so that it reads as a table in a terminal too."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])
