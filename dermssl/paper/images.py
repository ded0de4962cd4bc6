"""Shares of an open data set, as data sets of their own."""

import numpy as np

from dermssl.data.cache import Cache
from dermssl.data.folds import make_folds
from dermssl.evaluation.subsets import subset


def labelled_share(cache: Cache, limit: int | None, *, seed: int) -> Cache:
    """``limit`` labelled images, stratified by class (a rare class keeps one); the cache itself if it holds no more."""
    rows = np.flatnonzero(cache.records.labels >= 0)
    if limit is None or limit >= len(rows):
        return cache
    return cache.select(rows[subset(cache.records.labels[rows], limit / len(rows), seed=seed)])


def one_fold(cache: Cache, *, folds: int, split: str, seed: int) -> tuple[Cache, Cache]:
    """The labelled images of all folds but the first, and of the first: the same as in the evaluations."""
    rows = np.flatnonzero(cache.records.labels >= 0)
    groups = cache.records.groups
    assigned = make_folds(
        cache.records.labels[rows],
        None if groups is None else [groups[row] for row in rows],
        folds=folds,
        split=split,
        seed=seed,
    )
    return cache.select(rows[assigned != 0]), cache.select(rows[assigned == 0])
