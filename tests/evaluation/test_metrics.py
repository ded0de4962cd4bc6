"""Every metric equals scikit-learn's, or a plain loop where scikit-learn has none."""

import numpy as np
import pytest
from sklearn import metrics as sk

from dermssl.evaluation import metrics as m

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def answers(seed, n=400, classes=7, steps=None):
    """Labels and probabilities that are right more often than not; ``steps`` rounds them so that they tie."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=rng.dirichlet(np.ones(classes) * 2))
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if steps:
        votes = np.array([rng.multinomial(steps, p) for p in probabilities])
        probabilities = votes / steps
    return labels, probabilities


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [None, 10])
def test_metrics_equal_scikit_learn(seed, steps):
    labels, probabilities = answers(seed, steps=steps)
    predictions = probabilities.argmax(axis=1)
    result = m.classification_metrics(labels, probabilities, CLASSES)
    assert set(result) == set(m.METRICS)
    assert result["accuracy"] == sk.accuracy_score(labels, predictions)
    assert result["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predictions))
    for average in ("macro", "weighted"):
        assert result[f"precision_{average}"] == pytest.approx(
            sk.precision_score(labels, predictions, average=average, zero_division=0)
        )
        assert result[f"f1_{average}"] == pytest.approx(sk.f1_score(labels, predictions, average=average))
    assert result["recall_macro"] == pytest.approx(sk.recall_score(labels, predictions, average="macro"))
    assert result["auroc_macro"] == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"))


def test_melanoma_sensitivity_is_the_best_threshold_that_keeps_the_specificity():
    labels, probabilities = answers(5, steps=20)
    mel = CLASSES.index("mel")
    scores, positive = probabilities[:, mel], labels == mel
    best = 0.0
    for threshold in [np.inf, *scores]:
        flagged = scores >= threshold
        specificity = 1 - flagged[~positive].mean()
        if specificity >= 0.95:
            best = max(best, flagged[positive].mean())
    assert 0 < best < 1
    assert m.classification_metrics(labels, probabilities, CLASSES)[m.MELANOMA_METRIC] == pytest.approx(best)


def test_calibration_error_equals_a_loop_over_bins():
    labels, probabilities = answers(6)
    predictions = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            gap = abs(confidence[inside].mean() - (predictions == labels)[inside].mean())
            expected += inside.mean() * gap
    assert m.classification_metrics(labels, probabilities, CLASSES)["ece"] == pytest.approx(expected)


def test_macro_averages_leave_out_classes_that_do_not_occur():
    probabilities = np.eye(3)[[0, 0, 1, 2]]
    result = m.classification_metrics(np.array([0, 0, 1, 1]), probabilities, ("a", "b", "c"))
    assert result["recall_macro"] == pytest.approx((1 + 0.5) / 2)
    assert result["precision_macro"] == pytest.approx((1 + 1) / 2)
    assert result["auroc_macro"] == pytest.approx((1 + 0.75) / 2)
    assert np.isnan(result[m.MELANOMA_METRIC])


def test_metrics_of_one_class_are_defined_where_they_can_be():
    result = m.classification_metrics(np.zeros(3, int), np.full((3, 2), 0.5), ("mel", "nv"))
    assert result["accuracy"] == 1
    assert np.isnan(result["auroc_macro"])
    assert np.isnan(result[m.MELANOMA_METRIC])


def test_equal_probabilities_give_the_first_class():
    result = m.classification_metrics(np.array([0, 1]), np.full((2, 2), 0.5), ("a", "b"))
    assert result["accuracy"] == 0.5
    assert result["recall_macro"] == 0.5


def test_per_class_and_confusion_count_every_image():
    labels, probabilities = answers(7)
    labels[labels == 6] = 0
    predictions = probabilities.argmax(axis=1)
    table = m.per_class(labels, probabilities, predictions, CLASSES)
    matrix = m.confusion(labels, predictions, CLASSES)
    for c, name in enumerate(CLASSES[:6]):
        assert table[name]["support"] == (labels == c).sum() == matrix[c].sum()
        assert table[name]["recall"] == pytest.approx(matrix[c, c] / matrix[c].sum())
        assert table[name]["precision"] == pytest.approx(matrix[c, c] / matrix[:, c].sum())
        assert table[name]["auroc"] == pytest.approx(sk.roc_auc_score(labels == c, probabilities[:, c]))
    assert table["vasc"]["support"] == 0
    assert np.isnan(table["vasc"]["recall"])
    assert np.isnan(table["vasc"]["auroc"])
