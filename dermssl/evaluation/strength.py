"""How closely the logistic head fits its training features: chosen on training images, anew for each set of weights.

One strength for all favours narrow backbones: a wide one needs a smaller C
(measured in docs/measurements/decisions.md).
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from dermssl.evaluation.frozen import STRENGTH, LogisticPath

# scikit-learn's C: the larger, the closer the fit
GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 3
CRITERION = "log loss"
_LEAST = 1e-15  # a probability of 0 would make the mean infinite, whatever the other images say


@dataclass(frozen=True)
class Strength:
    """The C that was chosen, and how.

    Attributes:
        value: the C.
        chosen_on: what was held out while it was chosen, in words; "" where nothing could be, and it is ``STRENGTH``.
        losses: C -> mean log loss of the images held out; those beyond the first rise are not tried.
    """

    value: float
    chosen_on: str
    losses: dict[float, float]


def choose_strength(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> Strength:
    """The C of ``GRID`` with the smallest log loss on images that the head was not fitted to.

    Args:
        features: (N, D) of the training images.
        labels: (N,) int.
        groups: (N,) lesion (or patient) of each: the images of one are never on both sides.
        seed: of the inner folds.
        held_out: features (M, D) and labels (M,) of a validation set; by default ``FOLDS`` folds of the training
            images.

    Returns:
        the smallest C of equals. ``STRENGTH`` where the images are too few, or of too few lesions, to hold some out.
    """
    if held_out is None:
        sides = _inner_folds(labels, groups, seed)
        parts = [(features[a], labels[a], features[b], labels[b]) for a, b in sides]
        where = f"{len(parts)} grouped folds of the training images"
    else:
        parts, where = [(features, labels, *held_out)], "the validation images"
    if not parts:
        return Strength(STRENGTH, "", {})
    paths = [LogisticPath(part[0], part[1], rough=True) for part in parts]
    losses: dict[float, float] = {}
    for strength in GRID:
        total = sum(_loss(path, strength, *part[2:]) for path, part in zip(paths, parts, strict=True))
        losses[strength] = total / sum(len(part[3]) for part in parts)
        if losses[strength] > min(losses.values()):
            break  # it has one minimum, and the fits that would follow take the longest
    return Strength(min(losses, key=losses.__getitem__), where, losses)


def _inner_folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows to fit and to score, without those whose fitted side is of one class; none of too few images."""
    number = np.unique(groups, return_inverse=True)[1]
    if len(np.unique(number)) < 2 * FOLDS or np.bincount(labels).max() < FOLDS:
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        splits = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels, number)
        return [(fit, held) for fit, held in splits if len(held) and len(np.unique(labels[fit])) > 1]


def _loss(path: LogisticPath, strength: float, features: np.ndarray, labels: np.ndarray) -> float:
    """Sum of the log losses of (M, D) features with labels (M,)."""
    head = path.head(strength, int(max(labels.max(), path.classes.max())) + 1)
    answers = head.probabilities(features)[np.arange(len(labels)), labels]
    return float(-np.log(answers.clip(_LEAST)).sum())
