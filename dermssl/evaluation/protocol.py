"""Which labelled images train and which are tested: the part that every evaluation shares."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dermssl.data import parts
from dermssl.data.folds import cut_groups, make_folds
from dermssl.data.groups import copies, joined, read_pairs
from dermssl.data.joining import known_pairs
from dermssl.data.layouts.classes import class_of_code
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import refuse_two_tests
from dermssl.evaluation.labelled import LabelledImages
from dermssl.options import SPLITS, check

# name of the test fold where a separate set is tested
TEST_SET = 0


@dataclass(frozen=True)
class Round:
    """One training and testing: indices into the training set and into the test set.

    ``validation``, into the training set, is for choosing; None where the data names no such part.
    """

    fold: int
    train: np.ndarray
    test: np.ndarray
    validation: np.ndarray | None = None


@dataclass(frozen=True)
class Protocol:
    """The sets and the rounds; without a separate test set ``test`` is ``train``, the rounds are its folds."""

    train: LabelledImages
    test: LabelledImages
    rounds: tuple[Round, ...]
    split: dict[str, Any]  # what the report says of the division
    notes: tuple[str, ...]

    def noted(self, *notes: str, chosen: str = "") -> "Protocol":
        """With further notes, and one on what became of the validation part, if there is one.

        Args:
            chosen: what it chose, "" for nothing.
        """
        validation = next((r.validation for r in self.rounds if r.validation is not None), None)
        if validation is not None:
            what = f"chose {chosen}" if chosen else "is not used, as nothing is chosen here"
            notes = (*notes, f"the validation part ({len(validation)} images) {what}; nothing was trained on it")
        return replace(self, notes=(*self.notes, *notes))


def make_protocol(
    train: LabelledImages,
    test: LabelledImages | None = None,
    *,
    folds: int = 5,
    split: str = "lesion",
    join: str | Path | None = None,
    seed: int = 0,
) -> Protocol:
    """The rounds of a cross-validation over ``train``, or the one round that tests it on ``test``.

    Args:
        folds, seed: of the cross-validation.
        split: ``"lesion"`` keeps a group in one fold, ``"paper"`` does not; ``"given"`` is the data's own division.
        join: CSV of pairs of images that belong to one group.

    Raises:
        DermsslError: one class only; fewer images of every class than folds; a test label that no training
            image carries; no such division; an option out of range.
    """
    check("split", split, choices=SPLITS)
    refuse_two_tests(split, test)
    given = None
    if split == "given":
        train, given = _given_parts(train)
    train = train.without_empty_classes()
    if len(train.classes) < 2:
        raise DermsslError(
            f"{train.source}: all {len(train)} labelled images are of one class ({train.classes[0]}); "
            "a classification needs two or more"
        )
    if test is not None:
        test = _aligned(test, train.classes)
    pairs: list[tuple[int, int]] = []
    if join is not None:
        train, test, pairs, note = _with_joined(train, test, join)
        train = replace(train, notes=(*train.notes, note))
    if given is not None:
        protocol = _given(train, given)
    elif test is not None:
        protocol = _on_test_set(train, test, pairs)
    else:
        protocol = _cross_validation(train, folds, split, seed)
    return replace(protocol, notes=(*train.notes, *(() if test is None else test.notes), *protocol.notes))


def _cross_validation(train: LabelledImages, folds: int, split: str, seed: int) -> Protocol:
    groups = train.groups if train.grouped else None
    assigned = make_folds(train.labels, groups, folds=folds, split=split, seed=seed)
    plain = assigned if split == "paper" else make_folds(train.labels, groups, folds=folds, split="paper", seed=seed)
    notes = []
    if split == "lesion" and not train.named:
        but = ", but for copies and pairs," if train.grouped else ""
        notes.append(
            f"the data names no lesions or patients: every image{but} is its own group, and near copies may be in two "
            "folds"
        )
    for number, name in enumerate(train.classes):
        images = int((train.labels == number).sum())
        tested = len(np.unique(assigned[train.labels == number]))
        if tested < folds:
            notes.append(
                f"class {name} ({images} image{'s' if images > 1 else ''}) is tested in {tested} of {folds} folds "
                "only: its figures say little"
            )
    rounds = tuple(
        Round(fold, np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)) for fold in range(folds)
    )
    about = {
        "split": split,
        "folds": folds,
        "seed": seed,
        **_groups(train),
        "groups_cut": cut_groups(groups, assigned),
        "groups_cut_by_plain_split": cut_groups(groups, plain),
    }
    if about["groups_cut"]:
        notes.append(
            f"{about['groups_cut']} lesions have images in training and in test folds: the figures are too good"
        )
    return Protocol(train, train, rounds, about, tuple(notes))


def _on_test_set(train: LabelledImages, test: LabelledImages, pairs: list[tuple[int, int]]) -> Protocol:
    same = copies([*train.hashes.tolist(), *test.hashes.tolist()])
    known = known_pairs([*train.ids.tolist(), *test.ids.tolist()])
    names = joined([*train.groups.tolist(), *test.groups.tolist()], [*same, *known, *pairs])
    shared = np.isin(names[len(train) :], names[: len(train)]) | np.isin(test.ids, train.ids)
    copied = np.isin(test.hashes, train.hashes[train.hashes != ""])
    notes = []
    if shared.any():
        notes.append(
            f"{int(shared.sum())} of the {len(test)} test images are of a group (or have a name) that occurs in the "
            "training set too: the figures are too good unless these names mean different things in the two sets"
        )
    if copied.any():
        notes.append(
            f"{int(copied.sum())} of the {len(test)} test images are byte-for-byte copies of training images: the "
            "figures are too good"
        )
    about = {"split": "test set", "shared_images": int(shared.sum()), "copies_in_training": int(copied.sum())}
    return Protocol(train, test, (Round(TEST_SET, np.arange(len(train)), np.arange(len(test))),), about, tuple(notes))


def _given_parts(data: LabelledImages) -> tuple[LabelledImages, np.ndarray]:
    """The images that the data's own division names, and the part of each."""
    if parts.COLUMN not in data.attributes:
        raise DermsslError(
            f"--split given: {data.source} has no column {parts.COLUMN!r} that says {', '.join(parts.PARTS)} for each "
            f"image, and no folders of these names; its columns: {', '.join(data.attributes) or 'none'}"
        )
    part = parts.parts_of(data.attributes[parts.COLUMN].tolist(), data.source)
    counts = {name: int((part == name).sum()) for name in parts.PARTS}
    missing = [name for name in ("train", "test") if not counts[name]]
    if missing:
        raise DermsslError(
            f"--split given: no labelled image of {data.source} is in the part {' or '.join(missing)} (there are "
            f"{', '.join(f'{count} of {name}' for name, count in counts.items())})"
        )
    kept = np.flatnonzero(part != "")
    if len(kept) < len(data):
        note = f"{len(data) - len(kept)} images are in no part of the data's own division: they are left out"
        data = replace(data, notes=(*data.notes, note))
    return data.select(kept), part[kept]


def _given(data: LabelledImages, part: np.ndarray) -> Protocol:
    """Trained on the part train, tested on the part test; the part val is there to choose with."""
    train, validation, test = (np.flatnonzero(part == name) for name in parts.PARTS)
    unknown = np.setdiff1d(data.labels[test], data.labels[train])
    if len(unknown):
        names = ", ".join(data.classes[c] for c in unknown)
        raise DermsslError(f"--split given: the classes {names} of the test part have no image in the training part")
    fitted = np.concatenate([train, validation])
    shared = int(np.isin(data.groups[test], data.groups[fitted]).sum())
    notes = []
    if not data.named:
        notes.append("the data names no lesions or patients: near copies may be in two parts")
    if shared:
        notes.append(
            f"{shared} of the {len(test)} test images are of a group that occurs in the training or validation part "
            "too: the figures are too good"
        )
    about = {
        "split": "given",
        "train": len(train),
        "val": len(validation),
        "test": len(test),
        **_groups(data),
        "groups_cut": cut_groups(data.groups, np.unique(part, return_inverse=True)[1]),
        "shared_images": shared,
    }
    round_ = Round(TEST_SET, train, test, validation if len(validation) else None)
    return Protocol(data, data, (round_,), about, tuple(notes))


def _groups(data: LabelledImages) -> dict[str, int | None]:
    counts = np.unique(data.groups, return_counts=True)[1]
    return {"groups": len(counts) if data.grouped else None, "groups_repeated": int((counts > 1).sum())}


def _with_joined(
    train: LabelledImages, test: LabelledImages | None, path: str | Path
) -> tuple[LabelledImages, LabelledImages | None, list[tuple[int, int]], str]:
    """The sets with the groups of the pairs in ``path`` joined; the pairs as rows of both sets; what to note."""
    ids = [*train.ids.tolist(), *([] if test is None else test.ids.tolist())]
    pairs, missing = read_pairs(path, ids)
    names = np.array(joined([*train.groups.tolist(), *([] if test is None else test.groups.tolist())], pairs))
    before = len(np.unique(train.groups))
    train = replace(train, groups=names[: len(train)], grouped=True)
    if test is not None:
        test = replace(test, groups=names[len(train) :], grouped=True)
    merged = before - len(np.unique(train.groups))
    lost = f"; {missing} pairs name images that are not there" if missing else ""
    return train, test, pairs, f"--join: {len(pairs)} pairs of images joined {merged} groups to others{lost}"


def _aligned(test: LabelledImages, classes: tuple[str, ...]) -> LabelledImages:
    """The test set with labels that count in the training set's classes."""
    used = test.without_empty_classes()
    numbers = [_number_of(name, classes) for name in used.classes]
    unknown = [name for name, number in zip(used.classes, numbers, strict=True) if number is None]
    if unknown:
        raise DermsslError(
            f"--test {test.source}: its classes {', '.join(unknown)} are unknown to the training data, which "
            f"has {', '.join(classes)}; leave these images out or name the classes alike"
        )
    return replace(used, labels=np.array(numbers)[used.labels], classes=classes)


def _number_of(name: str, classes: tuple[str, ...]) -> int | None:
    """Which of the classes has this name, or else is the only one of this diagnosis.

    MEL is read as mel where all classes of a set are known diagnoses, and stays MEL beside others.
    """
    if name in classes:
        return classes.index(name)
    code = class_of_code(name)
    alike = [number for number, other in enumerate(classes) if code is not None and class_of_code(other) == code]
    return alike[0] if len(alike) == 1 else None
