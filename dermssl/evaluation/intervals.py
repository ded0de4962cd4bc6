"""Bootstrap intervals of cross-validated metrics, resampling groups of images (lesions), not images.

Images of one lesion are near copies; drawing them one by one would make the interval too narrow. A resample
is a weight for each group, and every metric is computed from weighted counts, for a block of resamples at a
time.
"""

import numpy as np

from dermssl.evaluation.metrics import (
    CALIBRATION_BINS,
    MELANOMA,
    MELANOMA_METRIC,
    METRICS,
    SPECIFICITY,
    calibration_bin,
)
from dermssl.evaluation.predictions import Predictions

RESAMPLES = 1000
BLOCK = 50  # resamples at once: 50 x 10,000 images x 8 bytes = 4 MB an array, which stays in the cache


def bootstrap(predictions: Predictions, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, np.ndarray]:
    """The mean over folds of every metric in each resample.

    The same seed draws the same groups for every set of predictions of the same images, so that two
    bootstraps can be subtracted from one another.

    Returns:
        metric -> (resamples,) float64, NaN where undefined.
    """
    codes = np.unique(predictions.groups, return_inverse=True)[1]
    count = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    folds = [np.flatnonzero(predictions.folds == fold) for fold in np.unique(predictions.folds)]
    parts = [_Fold(predictions, rows) for rows in folds]
    blocks = []
    for start in range(0, resamples, BLOCK):
        weights = _draw(rng, count, min(BLOCK, resamples - start))
        per_fold = [
            part.metrics(weights[:, codes[rows]]) for part, rows in zip(parts, folds, strict=True)
        ]  # each (metrics, block)
        blocks.append(_nanmean(np.stack(per_fold)))
    values = np.concatenate(blocks, axis=1)
    return dict(zip(METRICS, values, strict=True))


def intervals_of(
    predictions: Predictions, values: dict[str, float], *, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of every metric.

    Args:
        values: the metrics themselves, means over the folds of ``predictions``.
    """
    samples = bootstrap(predictions, resamples=resamples)
    found = {name: interval(samples[name], around=around(name, values[name])) for name in METRICS}
    low, high = found["ece"]
    return found | {"ece": (float(np.maximum(low, 0)), high)}  # moved, the samples may reach below 0; no error does


def around(name: str, value: float) -> float | None:
    """What the samples of a metric are moved to, for :func:`interval`.

    The calibration error measures gaps by their size, so noise adds to it, and a resample, whose images repeat, is
    noisier than the images themselves: its samples lie higher than the figure, all of them if it is small. Their
    spread is right, their place is not.
    """
    return value if name == "ece" else None


def interval(samples: np.ndarray, *, around: float | None = None) -> tuple[float, float]:
    """The central 95 % of bootstrap samples, as (low, high); NaN where the metric is undefined.

    Args:
        around: move the samples so that this is their mean.
    """
    samples = samples[np.isfinite(samples)]
    if around is not None and len(samples):
        samples = samples - samples.mean() + around
    if not len(samples):
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)


def _draw(rng: np.random.Generator, groups: int, resamples: int) -> np.ndarray:
    """(resamples, groups) how often each group was drawn, with replacement, as many draws as groups."""
    draws = rng.integers(groups, size=(resamples, groups))
    draws += groups * np.arange(resamples)[:, None]
    return np.bincount(draws.ravel(), minlength=resamples * groups).reshape(resamples, groups).astype(float)


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over axis 0 of what is defined, NaN (and no warning) where nothing is."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0)


class _Fold:
    """One fold's predictions, sorted and counted once, ready for any weights of its images."""

    def __init__(self, predictions: Predictions, rows: np.ndarray):
        labels, answers = predictions.labels[rows], predictions.predictions[rows]
        probabilities = predictions.probabilities[rows]
        self.classes = len(predictions.classes)
        self.cells = np.eye(self.classes**2)[labels * self.classes + answers]  # (n, C * C)
        confidence = probabilities[np.arange(len(rows)), answers]
        self.gaps = np.eye(CALIBRATION_BINS)[calibration_bin(confidence)] * (confidence - (answers == labels))[:, None]
        self.ranked = [_Ranked(probabilities[:, c], labels == c) for c in range(self.classes)]
        self.melanoma = predictions.classes.index(MELANOMA) if MELANOMA in predictions.classes else None

    def metrics(self, weights: np.ndarray) -> np.ndarray:
        """(metrics, B) of weights (B, n)."""
        counts = (weights @ self.cells).reshape(-1, self.classes, self.classes)
        total = counts.sum(axis=(1, 2))
        right = np.einsum("bcc->bc", counts)
        support, answered = counts.sum(axis=2), counts.sum(axis=1)
        present = support > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(answered > 0, right / answered, 0.0)
            recall = right / support
            f1 = 2 * right / (support + answered)
            values = {
                "accuracy": right.sum(axis=1) / total,
                "precision_macro": _mean_of(precision, present),
                "precision_weighted": np.where(present, precision * support, 0).sum(axis=1) / total,
                "recall_macro": _mean_of(recall, present),
                "f1_macro": _mean_of(f1, present),
                "f1_weighted": np.where(present, f1 * support, 0).sum(axis=1) / total,
                "ece": np.abs(weights @ self.gaps).sum(axis=1) / total,
            }
        values["balanced_accuracy"] = values["recall_macro"]
        curves = [ranked.areas(weights) for ranked in self.ranked]
        areas = np.stack(curves, axis=1)  # (B, C)
        values["auroc_macro"] = _mean_of(areas, np.isfinite(areas))
        values[MELANOMA_METRIC] = (
            np.full(len(weights), np.nan) if self.melanoma is None else self.ranked[self.melanoma].sensitivity(weights)
        )
        return np.stack([values[name] for name in METRICS])


class _Ranked:
    """The images of a fold in the order of one class's probability, equal probabilities together."""

    def __init__(self, scores: np.ndarray, positive: np.ndarray):
        order = np.argsort(scores, kind="stable")
        self.positive = np.flatnonzero(positive[order])
        self.order = order
        ends = np.flatnonzero(np.diff(scores[order], append=np.inf))
        self.starts = np.concatenate([[0], ends[:-1] + 1]).astype(int)
        self.is_positive = positive[order]

    def _tied(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, U) weight of the positives and of the rest at each of the U different probabilities, rising."""
        ranked = weights[:, self.order]
        every = np.add.reduceat(ranked, self.starts, axis=1)
        positive = np.add.reduceat(ranked * self.is_positive, self.starts, axis=1)
        return positive, every - positive

    def areas(self, weights: np.ndarray) -> np.ndarray:
        """(B,) area under the ROC curve, a tie counting half; NaN where a side has no weight."""
        if not len(self.positive):
            return np.full(len(weights), np.nan)
        positive, rest = self._tied(weights)
        below = np.cumsum(rest, axis=1) - rest / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return (positive * below).sum(axis=1) / (positive.sum(axis=1) * rest.sum(axis=1))

    def sensitivity(self, weights: np.ndarray) -> np.ndarray:
        """(B,) share of the positives above the lowest threshold that keeps the specificity; NaN where
        undefined.
        """
        positive, rest = self._tied(weights)
        found, wrong = np.cumsum(positive[:, ::-1], axis=1), np.cumsum(rest[:, ::-1], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            allowed = wrong / wrong[:, -1:] <= 1 - SPECIFICITY + 1e-9
            share = np.where(allowed, found, 0).max(axis=1) / found[:, -1]
        return np.where((found[:, -1] > 0) & (wrong[:, -1] > 0), share, np.nan)


def _mean_of(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(B,) mean of the (B, C) values where ``which``."""
    with np.errstate(invalid="ignore"):
        return np.where(which, values, 0).sum(axis=1) / which.sum(axis=1)
