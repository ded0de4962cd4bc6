"""Classification metrics from labels and class probabilities; all are fractions of 1.

Macro averages run over the classes that occur among the labels given: a fold that holds no image of a rare
class says nothing about it.
"""

from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

MELANOMA = "mel"
SPECIFICITY = 0.95
CALIBRATION_BINS = 15
MELANOMA_METRIC = "melanoma_sensitivity_at_95_specificity"
TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision_macro": "precision, macro",
    "precision_weighted": "precision, weighted (paper)",
    "recall_macro": "recall, macro (paper)",
    "f1_macro": "F1, macro",
    "f1_weighted": "F1, weighted (paper)",
    "auroc_macro": "AUROC, macro one-vs-rest",
    MELANOMA_METRIC: "melanoma sensitivity at 95 % specificity",
    "ece": "expected calibration error",
}
METRICS = tuple(TITLES)


def classification_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: tuple[str, ...],
    predictions: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics named in ``METRICS``.

    Args:
        labels: (N,) index into ``classes``.
        probabilities: (N, C), rows sum to 1.
        classes: the C names; the melanoma metric is that of the class ``mel`` and NaN where there is none.
        predictions: (N,) index into ``classes``; ``None`` for the most probable class, the first of equals.

    Returns:
        name -> value; NaN where a metric is undefined (AUROC of one class only).
    """
    predictions = probabilities.argmax(axis=1) if predictions is None else predictions
    present = np.unique(labels)
    averages = {
        average: precision_recall_fscore_support(labels, predictions, labels=present, average=average, zero_division=0)
        for average in ("macro", "weighted")
    }
    recall_macro = float(averages["macro"][1])
    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "balanced_accuracy": recall_macro,  # the same thing under the other name people look for
        "precision_macro": float(averages["macro"][0]),
        "precision_weighted": float(averages["weighted"][0]),
        "recall_macro": recall_macro,
        "f1_macro": float(averages["macro"][2]),
        "f1_weighted": float(averages["weighted"][2]),
        "auroc_macro": auroc_macro(labels, probabilities),
        MELANOMA_METRIC: melanoma_sensitivity(labels, probabilities, classes),
        "ece": expected_calibration_error(labels, probabilities, predictions),
    }


def auroc_macro(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean one-vs-rest area under the ROC curve over the classes that occur; NaN if only one does."""
    present = np.unique(labels)
    if len(present) < 2:
        return float("nan")
    return float(np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in present]))


def melanoma_sensitivity(labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> float:
    """Largest share of melanomas found by a threshold that leaves 95 % of the rest alone."""
    if MELANOMA not in classes:
        return float("nan")
    mel = classes.index(MELANOMA)
    if len(np.unique(labels == mel)) < 2:
        return float("nan")
    false, true, _ = roc_curve(labels == mel, probabilities[:, mel], drop_intermediate=False)
    # 1e-9: the shares are quotients of counts, and 1 - 0.95 is not exactly 0.05
    return float(true[false <= 1 - SPECIFICITY + 1e-9].max())


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, predictions: np.ndarray) -> float:
    """|confidence - accuracy| in 15 equal bins of confidence, weighted by their share (Guo et al. 2017)."""
    confidence = probabilities[np.arange(len(labels)), predictions]
    gaps = np.bincount(
        calibration_bin(confidence), weights=confidence - (predictions == labels), minlength=CALIBRATION_BINS
    )
    return float(np.abs(gaps).sum() / len(labels))


def calibration_bin(confidence: np.ndarray) -> np.ndarray:
    """(N,) which of the equal bins (lower, upper] a confidence falls into."""
    return np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)


def per_class(
    labels: np.ndarray, probabilities: np.ndarray, predictions: np.ndarray, classes: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """class name -> precision, recall, f1, auroc (one-vs-rest, NaN where undefined) and support (images)."""
    index = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(labels, predictions, labels=index, zero_division=0)
    return {
        name: {
            "precision": float(precision[c]),
            "recall": float(recall[c]) if support[c] else float("nan"),
            "f1": float(f1[c]) if support[c] else float("nan"),
            "auroc": float(roc_auc_score(labels == c, probabilities[:, c]))
            if 0 < support[c] < len(labels)
            else float("nan"),
            "support": int(support[c]),
        }
        for c, name in enumerate(classes)
    }


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """(C, C) counts: rows are the labels, columns the answers."""
    return confusion_matrix(labels, predictions, labels=np.arange(len(classes)))
