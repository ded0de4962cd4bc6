"""Folds for cross-validation: stratified by class, and by default never with one lesion in two of them."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from dermssl.errors import DermsslError
from dermssl.options import FOLD_SPLITS, LARGEST_SEED, check


def make_folds(
    labels: npt.ArrayLike,
    groups: Sequence[str] | npt.NDArray | None,
    *,
    folds: int = 5,
    split: str = "lesion",
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """The fold each image is tested in.

    Args:
        labels: (N,) integer class of each image; -1 = unknown, which is an error here.
        groups: (N,) lesion or patient of each image; None = every image stands alone.
        folds: their number, at least 2.
        split: "lesion" keeps all images of a group in one fold; "paper" ignores the groups, as the paper did.
        seed: decides the shuffle. The same arguments give the same folds, for every model compared.

    Returns:
        (N,) int64 in [0, folds).

    Raises:
        DermsslError: unknown labels, one class only, fewer images or groups than folds, a seed out of range.
    """
    labels = np.asarray(labels)
    check("split", split, choices=FOLD_SPLITS)
    check("seed", seed, least=0, most=LARGEST_SEED)
    check("folds", folds, least=2)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DermsslError(f"labels: must be (N,) integers, not {labels.dtype} {labels.shape}")
    if groups is not None and len(groups) != len(labels):
        raise DermsslError(f"{len(groups)} groups for {len(labels)} labels")
    if (labels < 0).any():
        raise DermsslError(
            f"{int((labels < 0).sum())} of {len(labels)} images have no label; use records.labelled() first"
        )
    classes = np.unique(labels)
    if len(classes) < 2:
        what = "no image has a label" if len(classes) == 0 else "all images are of one class"
        raise DermsslError(f"{what}: nothing to evaluate; two classes or more are needed")
    number = np.arange(len(labels)) if groups is None or split == "paper" else _numbers(groups)
    if len(np.unique(number)) < folds:
        unit = "images" if groups is None or split == "paper" else "lesions or patients"
        raise DermsslError(f"{len(np.unique(number))} {unit} cannot be split into {folds} folds; lower --folds")
    fold = np.zeros(len(labels), dtype=np.int64)
    grouped = split == "lesion" and groups is not None
    maker = StratifiedGroupKFold if grouped else StratifiedKFold
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        try:
            splits = list(
                maker(folds, shuffle=True, random_state=seed).split(labels, labels, number if grouped else None)
            )
        except ValueError as error:  # scikit-learn's own: no class has as many members as there are folds
            largest = max(int((labels == name).sum()) for name in classes)
            raise DermsslError(f"no class has {folds} images (the largest has {largest}): lower --folds") from error
    for index, (_, test) in enumerate(splits):
        fold[test] = index
    missing = set(range(folds)) - set(fold.tolist())
    if missing:
        raise DermsslError(f"fold {min(missing)} of {folds} would be empty: the groups are too large; lower --folds")
    return fold


def cut_groups(groups: Sequence[str] | npt.NDArray | None, fold: npt.NDArray[np.int64]) -> int:
    """How many groups have images in more than one fold: what leaks from training into testing.

    Args:
        groups: (N,) lesion or patient of each image; None = every image stands alone.
        fold: (N,) from `make_folds`.
    """
    if groups is None:
        return 0
    number = _numbers(groups)
    pairs = np.unique(np.stack([number, fold]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _numbers(groups: Sequence[str] | npt.NDArray) -> npt.NDArray[np.int64]:
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
