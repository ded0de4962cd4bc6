"""A share of the labels: subsets of a training fold, drawn by lesion, stratified by class and nested in one another."""

import numpy as np

from dermssl.options import check


def subset(labels: np.ndarray, fraction: float, *, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Which images a share of the labels holds.

    The lesions of each class are put into one random order, and a fraction takes its beginning, each lesion with all
    of its images: a smaller subset is inside every larger one of the same seed, no class is left without an image,
    and what is labelled is as independent as it would be if only so many lesions had been seen. A group of several
    classes (a patient) counts with the rarest of them.

    Args:
        labels: (N,) of the training images.
        fraction: in (0, 1].
        groups: (N,) lesion (or patient) of each; default: every image stands alone.

    Returns:
        indices into ``labels``, rising.

    Raises:
        DermsslError: the fraction is out of range.
    """
    check("fraction", fraction, above=0, most=1)
    rng = np.random.default_rng(seed)
    number = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    stratum = _strata(labels, number)
    chosen = []
    for label in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == label))
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return np.flatnonzero(np.isin(number, np.concatenate(chosen)))


def _strata(labels: np.ndarray, number: np.ndarray) -> np.ndarray:
    """(G,) the class that each group is drawn with: the rarest (by images) of those that its images have."""
    classes, code, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_count = np.argsort(counts, kind="stable")
    rank = np.argsort(by_count, kind="stable")
    rarest = np.full(number.max() + 1, len(classes))
    np.minimum.at(rarest, number, rank[code])
    return by_count[rarest]
