"""Folds: no lesion in two of them, classes in balance, and what cannot be split."""

import csv

import numpy as np
import pytest

from dermssl.data.folds import cut_groups, make_folds
from dermssl.errors import DermsslError


def a_set(lesions=400, seed=0):
    """Labels and groups as in HAM10000: two thirds of one class, lesions with one to four images."""
    rng = np.random.default_rng(seed)
    label = rng.choice(4, size=lesions, p=(0.67, 0.2, 0.08, 0.05))
    images = rng.choice([1, 2, 3, 4], size=lesions, p=(0.7, 0.2, 0.07, 0.03))
    groups = np.repeat([f"L{i}" for i in range(lesions)], images)
    order = rng.permutation(len(groups))
    return np.repeat(label, images)[order], groups[order]


def test_no_lesion_is_in_two_folds_and_every_class_is_in_all():
    labels, groups = a_set()
    fold = make_folds(labels, groups, folds=5)
    assert fold.shape == labels.shape
    assert set(fold) == {0, 1, 2, 3, 4}
    for group in set(groups):
        assert len(set(fold[groups == group])) == 1
    assert cut_groups(groups, fold) == 0
    for name in range(4):
        share = np.bincount(fold[labels == name], minlength=5) / (labels == name).sum()
        assert np.abs(share - 0.2).max() < 0.08


def test_paper_split_ignores_lesions_and_says_how_many_it_cuts():
    labels, groups = a_set()
    fold = make_folds(labels, groups, split="paper")
    by_hand = sum(len(set(fold[groups == group])) > 1 for group in set(groups))
    assert by_hand > 50
    assert cut_groups(groups, fold) == by_hand
    for name in range(4):
        counts = np.bincount(fold[labels == name], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_without_groups_both_splits_are_the_same():
    labels, _ = a_set()
    assert (make_folds(labels, None) == make_folds(labels, None, split="paper")).all()
    assert cut_groups(None, make_folds(labels, None)) == 0


def test_the_seed_decides():
    labels, groups = a_set()
    assert (make_folds(labels, groups, seed=3) == make_folds(labels, groups, seed=3)).all()
    assert (make_folds(labels, groups, seed=3) != make_folds(labels, groups, seed=4)).any()


def test_the_global_random_state_is_left_alone():
    labels, groups = a_set()
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    make_folds(labels, groups, seed=3)
    assert (np.random.random(3) == expected).all()  # noqa: NPY002


def test_a_class_with_fewer_lesions_than_folds_is_not_cut():
    labels = np.array([0] * 50 + [1] * 6)
    groups = [f"a{i}" for i in range(50)] + ["b", "b", "b", "c", "c", "d"]
    assert cut_groups(groups, make_folds(labels, groups, folds=5)) == 0


@pytest.mark.filterwarnings("error")
def test_scikit_learns_own_warnings_do_not_get_through():
    labels = np.array([0] * 50 + [1] * 2)
    make_folds(labels, None, split="paper")
    make_folds(labels, [str(i) for i in range(52)], split="paper")


@pytest.mark.parametrize(
    ("labels", "groups", "options", "message"),
    [
        ([0, 0, 0, 0, 0, 0], None, {}, "one class"),
        ([], None, {}, "no image has a label|integers"),
        ([0, 1, -1, 1, 0], None, {"folds": 2}, "1 of 5 images have no label"),
        ([0, 1, 0, 1], None, {"folds": 5}, "4 images cannot be split into 5 folds"),
        ([0, 1] * 10, ["a", "b"] * 10, {"folds": 3}, "2 lesions or patients cannot"),
        ([0, 1, 2, 3, 4, 5], None, {"folds": 3}, "no class has 3 images"),
        ([0, 1] * 10, None, {"folds": 1}, "--folds 1"),
        ([0, 1] * 10, None, {"seed": -1}, "--seed -1: must be 0 or more"),
        ([0, 1] * 10, None, {"split": "random"}, "--split random"),
        ([0, 1] * 10, ["a"], {}, "1 groups for 20 labels"),
        ([0.5, 1.0], None, {}, "integers"),
    ],
)
def test_what_cannot_be_split_is_a_clear_error(labels, groups, options, message):
    with pytest.raises(DermsslError, match=message):
        make_folds(labels, groups, **options)


@pytest.mark.real_data
def test_ham10000_folds(real_data):
    with open(real_data / "HAM10000_metadata_full.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.unique([row["dx"] for row in rows], return_inverse=True)[1]
    groups = [row["lesion_id"] for row in rows]
    fold = make_folds(labels, groups)
    assert cut_groups(groups, fold) == 0
    for name in range(7):
        counts = np.bincount(fold[labels == name], minlength=5)
        assert counts.max() - counts.min() <= 2
    assert cut_groups(groups, make_folds(labels, groups, split="paper")) > 1500
