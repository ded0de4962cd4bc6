"""The strength of the logistic head: chosen among training images, the same every time, and never between lesions."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermssl.evaluation.finetune import finetune
from dermssl.evaluation.frozen import STRENGTH
from dermssl.evaluation.strength import GRID, choose_strength

from .conftest import write_set


def features(n=300, width=12, noise=3.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    centres = np.random.default_rng(7).normal(size=(3, width))
    return (centres[labels] + noise * rng.normal(size=(n, width))).astype(np.float32), labels


@pytest.mark.parametrize("width", [4, 60])
def test_it_is_the_one_with_the_least_log_loss_by_scikit_learn(width):
    x, y = features(width=width)
    groups = np.array([f"g{i // 2}" for i in range(len(y))])
    number = np.unique(groups, return_inverse=True)[1]
    losses = {}
    for strength in GRID:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        folds = StratifiedGroupKFold(3, shuffle=True, random_state=0).split(x, y, number)
        losses[strength] = np.mean(
            [log_loss(y[b], model.fit(x[a], y[a]).predict_proba(x[b]), labels=[0, 1, 2]) for a, b in folds]
        )
    chosen = choose_strength(x, y, groups, seed=0)
    assert chosen.value == min(losses, key=losses.__getitem__)
    for strength, loss in chosen.losses.items():
        assert loss == pytest.approx(losses[strength], rel=2e-3)
    assert chosen == choose_strength(x, y, groups, seed=0)


def test_wide_features_get_a_weaker_fit_than_narrow_ones():
    x, y = features(width=6)
    noise = np.random.default_rng(3).normal(size=(300, 200))
    narrow, wide = (choose_strength(f, y, np.arange(300).astype(str), seed=0) for f in (x, np.hstack([x, noise])))
    assert wide.value < narrow.value


def test_copies_of_a_lesion_do_not_choose_a_closer_fit():
    """Labels of noise: were a lesion on both sides, remembering it would look like knowing."""
    rng = np.random.default_rng(0)
    x, y = np.repeat(rng.normal(size=(60, 40)), 4, axis=0), np.repeat(rng.integers(3, size=60), 4)
    lesion = np.repeat(np.arange(60), 4).astype(str)
    assert choose_strength(x, y, lesion, seed=0).value < GRID[2]
    assert choose_strength(x, y, np.arange(240).astype(str), seed=0).value > GRID[2]


def test_a_validation_set_chooses_where_there_is_one():
    (x, y), (other, labels) = features(), features(seed=1)
    chosen = choose_strength(x, y, np.arange(300).astype(str), seed=0, held_out=(other, labels))
    assert chosen.chosen_on == "the validation images"
    assert chosen.value in GRID


def test_a_class_that_only_the_held_out_images_have_does_no_harm():
    x, y = features()
    other = np.where(np.arange(300) < 3, 5, y)
    assert choose_strength(x, y, np.arange(300).astype(str), seed=0, held_out=(x, other)).value in GRID
    y[:2] = 4  # fewer than the inner folds
    assert choose_strength(x, y, np.arange(300).astype(str), seed=0).value in GRID


def test_too_few_images_to_hold_some_out_get_the_usual_strength():
    x, _ = features(n=4)
    chosen = choose_strength(x, np.array([0, 1, 0, 1]), np.arange(4).astype(str), seed=0)
    assert (chosen.value, chosen.chosen_on) == (STRENGTH, "")


def test_a_class_in_one_image_leaves_the_folds_that_can_be_fitted():
    x, _ = features()
    rare = np.arange(300) == 7
    chosen = choose_strength(x, rare.astype(int), np.arange(300).astype(str), seed=0)
    assert chosen.chosen_on == "2 grouped folds of the training images"
    assert chosen.losses


def test_a_strength_that_nothing_chose_is_not_called_chosen(tmp_path):
    data = write_set(tmp_path / "set", {"mel": 4, "nv": 4}, groups=False)
    report = finetune("random:test_resnet", data, freeze=True, folds=2, image_size=32, device="cpu")
    training = report.protocol["training"]
    assert (training["strengths_tried"], training["chosen_by"]) == ([], "nothing: too few training images")
    assert "the strength of the classifier is the usual one, C = 0.1" in "\n".join(report.notes)
    assert "was chosen" not in "\n".join(report.notes)


def test_the_report_says_what_was_chosen_from_what(labelled):
    report = finetune("random:test_resnet", labelled, freeze=True, folds=3, image_size=32, device="cpu")
    training = report.protocol["training"]
    assert len(training["strength"]) == 3
    assert set(training["strength"]) <= set(GRID)
    assert training["strengths_tried"] == list(GRID)
    assert training["chosen_by"] == "log loss on 3 grouped folds of the training images"
    said = ", ".join(f"{value:g}" for value in training["strength"])
    assert f"(C = {said})" in report.to_markdown()
    assert any("from 0.0001, 0.001, 0.01, 0.1, 1, 10" in note for note in report.notes)
