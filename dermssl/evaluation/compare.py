"""Is one model better than another on the same images? The paired difference of two reports."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dermssl.errors import DermsslError
from dermssl.evaluation.intervals import RESAMPLES, around, bootstrap, interval
from dermssl.evaluation.metrics import METRICS, TITLES
from dermssl.evaluation.predictions import Predictions
from dermssl.evaluation.report import Report, plain
from dermssl.options import LARGEST_SEED, check
from dermssl.privacy import handed_on, told_apart
from dermssl.tables import markdown_table, percent


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`: ``b`` minus ``a``, as fractions of 1.

    Attributes:
        a, b: the weights of the two reports.
        difference: of each metric.
        interval: bootstrap 95 % interval of the difference.
        protocol: the parameters that differ between the two reports.
        images: how many were compared.
    """

    a: str
    b: str
    difference: dict[str, float]
    interval: dict[str, tuple[float, float]]
    protocol: dict[str, tuple[Any, Any]]
    images: int

    def significant(self, metric: str) -> bool:
        """Whether the interval of the difference excludes 0."""
        low, high = self.interval[metric]
        return low > 0 or high < 0

    def to_json(self) -> str:
        """One JSON object: ``a``, ``b``, ``images``, ``difference``, ``interval``, ``significant`` and ``protocol``."""
        values = {
            **dict(zip("ab", told_apart((self.a, self.b)), strict=True)),
            "images": self.images,
            "difference": self.difference,
            "interval": self.interval,
            "significant": [name for name in self.difference if self.significant(name)],
            "protocol": self.protocol,
        }
        return json.dumps(plain(values), indent=1)

    def to_markdown(self) -> str:
        """A table of the differences in points."""
        rows = [
            [TITLES[name], percent(value), " to ".join(percent(edge) for edge in self.interval[name])]
            for name, value in self.difference.items()
            if not np.isnan(value)
        ]
        table = markdown_table(["metric, points of 100", "difference", "95 % interval"], rows)
        a, b = told_apart((self.a, self.b))
        lines = [f"## {b} minus {a}, {self.images} images", "", table]
        if self.protocol:
            pairs = (f"{name} {a} and {b}" for name, (a, b) in self.protocol.items())
            lines += ["", f"The two were not evaluated alike: {', '.join(pairs)}."]
        return "\n".join(lines)


def compare(report_a: Report, report_b: Report, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """The difference ``report_b`` minus ``report_a``, paired over the same images in the same folds.

    Both are resampled with the same lesions, so what makes an image hard for both cancels out: the interval is
    narrower than those of the two reports suggest. It covers the choice of images, not that of the training run.

    Args:
        report_a, report_b: of evaluations of the same images, lesions and folds.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DermsslError: an option is out of range, a report was loaded without its predictions, or the images, labels or
            folds or lesions differ.
    """
    check("resamples", resamples, least=1)
    check("seed", seed, least=0, most=LARGEST_SEED)
    a, b = _paired(report_a, report_b)
    samples_a = bootstrap(a, resamples=resamples, seed=seed)
    samples_b = bootstrap(b, resamples=resamples, seed=seed)
    protocols = [plain(handed_on(report.protocol)) for report in (report_a, report_b)]  # as a loaded report has it
    keys = sorted(set(protocols[0]) | set(protocols[1]))
    difference = {name: report_b.metrics[name] - report_a.metrics[name] for name in METRICS}
    return Comparison(
        a=report_a.weights,
        b=report_b.weights,
        difference=difference,
        interval={
            name: interval(samples_b[name] - samples_a[name], around=around(name, value))
            for name, value in difference.items()
        },
        protocol={
            key: (protocols[0].get(key), protocols[1].get(key))
            for key in keys
            if protocols[0].get(key) != protocols[1].get(key)
        },
        images=len(a),
    )


def _paired(report_a: Report, report_b: Report) -> tuple[Predictions, Predictions]:
    """The predictions of both in the order of the images' names."""
    pair = []
    for report in (report_a, report_b):
        if not isinstance(report, Report):
            raise DermsslError(f"compare: {report!r} is not a report; give what an evaluation or Report.load returned")
        if report.predictions is None:
            raise DermsslError(
                f"the report of {report.weights} holds no predictions: load it from where Report.save "
                "put it, or give Report.load the CSV that --predictions wrote"
            )
        pair.append(report.predictions.sorted())
    a, b = pair
    only_a, only_b = np.setdiff1d(a.images, b.images), np.setdiff1d(b.images, a.images)
    if len(only_a) or len(only_b) or len(a) != len(b):
        example = [*only_a, *only_b][:1]
        raise DermsslError(
            f"the reports are not of the same images: {len(only_a)} are in the first only and {len(only_b)} "
            f"in the "
            f"second only{f', e.g. {example[0]}' if example else ''}; evaluate both on the same data"
        )
    if a.classes != b.classes or not np.array_equal(a.labels, b.labels):
        raise DermsslError("the reports give different labels to the same images; evaluate both on the same data")
    moved = int((a.folds != b.folds).sum())
    if moved:
        raise DermsslError(
            f"the reports are not of the same folds: {moved} of {len(a)} images were tested in another one; "
            "use the same --folds, --split and --seed"
        )
    parted = int((_first_of_group(a) != _first_of_group(b)).sum())
    if parted:
        raise DermsslError(
            f"the reports do not keep the same images together: {parted} of {len(a)} images are of another lesion in "
            "the second; use the same --group and --join"
        )
    return a, replace(b, groups=a.groups)  # resampled by their names


def _first_of_group(answers: Predictions) -> np.ndarray:
    """(N,) the first row of each row's lesion, whatever that is called."""
    _, first, number = np.unique(answers.groups, return_index=True, return_inverse=True)
    return first[number]
