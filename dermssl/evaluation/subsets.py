"""A share of the labels: subsets of a training fold, stratified by class and nested in one another."""

import numpy as np

from dermssl.errors import DermsslError


def subset(labels: np.ndarray, fraction: float, *, seed: int) -> np.ndarray:
    """Which images a share of the labels holds.

    Each class is put into one random order, and a fraction takes its beginning: a smaller subset is inside
    every larger one of the same seed, and no class is left without an image.

    Args:
        labels: (N,) of the training images.
        fraction: in (0, 1].

    Returns:
        indices into ``labels``, rising.

    Raises:
        DermsslError: the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise DermsslError(f"--fraction {fraction:g}: must be above 0 and at most 1; 0.1 is 10 %")
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(chosen))
