"""Which labelled images train and which are tested: the part that every evaluation shares."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dermssl.data.cache import Cache, source_size
from dermssl.data.decode import Fit
from dermssl.data.folds import cut_groups, make_folds
from dermssl.data.prepare import cached
from dermssl.errors import DermsslError

logger = logging.getLogger("dermssl")

# name of the test fold where a separate set is tested
TEST_SET = 0


@dataclass(frozen=True)
class LabelledImages:
    """The labelled images of one data set."""

    source: str
    images: np.ndarray  # (P, S, S, 3) uint8 memory map, of labelled and unlabelled images
    rows: np.ndarray  # (N,) rows of ``images`` that carry a label
    labels: np.ndarray  # (N,) index into classes
    ids: np.ndarray  # (N,) str
    groups: np.ndarray  # (N,) str; the image's own name where the data names none
    classes: tuple[str, ...]
    about: dict[str, Any]  # what the report says of the data

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Round:
    """One training and testing: indices into the training set and into the test set."""

    fold: int
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Protocol:
    """The sets and the rounds; without a separate test set ``test`` is ``train``, the rounds are its folds."""

    train: LabelledImages
    test: LabelledImages
    rounds: tuple[Round, ...]
    split: dict[str, Any]  # what the report says of the division
    notes: tuple[str, ...]


def open_labelled(
    data: str | Path | Cache,
    *,
    image_size: int,
    fit: Fit = "squash",
    option: str = "DATA",
    progress: bool = False,
) -> LabelledImages:
    """The labelled images of a data set, decoded once into a cache at the size that ``image_size`` needs.

    Args:
        data: as everywhere, or an open cache.
        option: how the error messages call it.

    Raises:
        DermsslError: no image carries a label, or all carry the same.
    """
    cache = data if isinstance(data, Cache) else cached(data, size=source_size(image_size), fit=fit, progress=progress)
    records = cache.records
    rows = np.flatnonzero(records.labels >= 0)
    if not len(rows):
        raise DermsslError(
            f"{option} {records.source}: none of its {len(records)} images carries a label (layout: {records.layout}); "
            "an evaluation needs labelled images, e.g. a folder per class or a CSV with the columns "
            "image,label"
        )
    unlabelled = len(records) - len(rows)
    if unlabelled:
        logger.warning("%s %s: %d images without a label are left out", option, records.source, unlabelled)
    ids = np.array(records.ids, dtype=str)[rows]
    groups = ids if records.groups is None else np.array(records.groups, dtype=str)[rows]
    counts = np.bincount(records.labels[rows], minlength=len(records.classes))
    about = {
        "source": str(records.source),
        "layout": records.layout,
        "images": len(rows),
        "unlabelled": unlabelled,
        "problems": len(cache.problems),
        "classes": dict(zip(records.classes, counts.tolist(), strict=True)),
        "groups": None if records.groups is None else len(np.unique(groups)),
        "content_hash": cache.content_hash,
        "cache_size": cache.size,
        "fit": cache.fit,
    }
    labels = np.asarray(records.labels)[rows]
    return LabelledImages(str(records.source), cache.images, rows, labels, ids, groups, tuple(records.classes), about)


def make_protocol(
    train: LabelledImages,
    test: LabelledImages | None = None,
    *,
    folds: int = 5,
    split: str = "lesion",
    seed: int = 0,
) -> Protocol:
    """The rounds of a cross-validation over ``train``, or the one round that tests it on ``test``.

    Raises:
        DermsslError: one class only; fewer images of every class than folds; a test label that no training
            image carries; a negative seed.
    """
    train = _without_empty_classes(train)
    if len(train.classes) < 2:
        raise DermsslError(
            f"{train.source}: all {len(train)} labelled images are of one class ({train.classes[0]}); "
            "a classification needs two or more"
        )
    if test is None:
        return _cross_validation(train, folds, split, seed)
    test = _aligned(test, train.classes)
    everything = Round(TEST_SET, np.arange(len(train)), np.arange(len(test)))
    shared = np.isin(test.groups, train.groups) | np.isin(test.ids, train.ids)
    notes = []
    if shared.any():
        notes.append(
            f"{int(shared.sum())} of the {len(test)} test images are of a group (or have a name) that "
            f"occurs in the "
            "training set too: the figures are too good unless these names mean different things in the two "
            "sets"
        )
    return Protocol(train, test, (everything,), {"split": "test set", "shared_images": int(shared.sum())}, tuple(notes))


def _cross_validation(train: LabelledImages, folds: int, split: str, seed: int) -> Protocol:
    grouped = train.about["groups"] is not None
    groups = train.groups if grouped else None
    assigned = make_folds(train.labels, groups, folds=folds, split=split, seed=seed)
    plain = assigned if split == "paper" else make_folds(train.labels, groups, folds=folds, split="paper", seed=seed)
    notes = []
    if split == "lesion" and not grouped:
        notes.append(
            "the data names no lesions or patients: every image is its own group, and near copies may be in two folds"
        )
    for number, name in enumerate(train.classes):
        tested = len(np.unique(assigned[train.labels == number]))
        if tested < folds:
            notes.append(
                f"class {name} ({int((train.labels == number).sum())} images) is tested in {tested} of {folds} folds "
                "only: its figures say little"
            )
    rounds = tuple(
        Round(fold, np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)) for fold in range(folds)
    )
    about = {
        "split": split,
        "folds": folds,
        "seed": seed,
        "groups": train.about["groups"],
        "groups_repeated": int((np.unique(train.groups, return_counts=True)[1] > 1).sum()),
        "groups_cut": cut_groups(groups, assigned),
        "groups_cut_by_plain_split": cut_groups(groups, plain),
    }
    if about["groups_cut"]:
        notes.append(
            f"{about['groups_cut']} lesions have images in training and in test folds: the figures are too good"
        )
    return Protocol(train, train, rounds, about, tuple(notes))


def _without_empty_classes(data: LabelledImages) -> LabelledImages:
    """Drops classes that no image carries, such as an all-zero column of a ground truth table."""
    used, labels = np.unique(data.labels, return_inverse=True)
    return replace(data, labels=labels, classes=tuple(data.classes[c] for c in used))


def _aligned(test: LabelledImages, classes: tuple[str, ...]) -> LabelledImages:
    """The test set with labels that count in the training set's classes."""
    used = _without_empty_classes(test)
    unknown = [name for name in used.classes if name not in classes]
    if unknown:
        raise DermsslError(
            f"--test {test.source}: its classes {', '.join(unknown)} are unknown to the training data, which "
            f"has {', '.join(classes)}; leave these images out or name the classes alike"
        )
    number = np.array([classes.index(name) for name in used.classes])
    return replace(used, labels=number[used.labels], classes=classes)
