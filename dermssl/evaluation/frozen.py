"""A classifier on frozen features."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from dermssl.errors import DermsslError
from dermssl.evaluation.recipes import Recipe
from dermssl.evaluation.training import train_linear

# scikit-learn's C of the logistic regression where nothing chooses one (see strength.py); larger fits closer.
STRENGTH = 0.1
ITERATIONS = 1000
ROUGH_ITERATIONS = 150


@dataclass(frozen=True)
class LinearHead:
    """logits = features @ weight.T + bias"""

    weight: np.ndarray  # (C, D)
    bias: np.ndarray  # (C,)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(N, C) of features (N, D)."""
        logits = features.astype(np.float64) @ self.weight.T + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        return odds / odds.sum(axis=1, keepdims=True)


def fit_head(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    recipe: Recipe,
    *,
    epochs: int | None = None,
    seed: int = 0,
    strength: float = STRENGTH,
    device: torch.device | None = None,
) -> LinearHead:
    """Train the recipe's head on features (N, D) with labels (N,) in [0, classes).

    Args:
        epochs, seed: of a head trained by an optimizer.
        strength: C of a logistic regression.

    Raises:
        DermsslError: only one class is among the labels.
    """
    if recipe.head == "linear":
        where = device or torch.device("cpu")
        tensors = torch.from_numpy(features).to(where), torch.from_numpy(labels).to(where)
        head = train_linear(*tensors, classes, recipe, epochs=epochs, seed=seed)
        weight, bias = head.weight.detach().double().cpu().numpy(), head.bias.detach().double().cpu().numpy()
        return LinearHead(weight, bias)
    return LogisticPath(features, labels).head(strength, classes)


class LogisticPath:
    """Multinomial logistic regression on standardised features, fitted at one strength after another.

    Each fit starts from the one before, so rising strengths cost little more than the last alone.

    Args:
        features: (N, D).
        labels: (N,) int.
        rough: compute in float32 and stop after ``ROUGH_ITERATIONS``, which is enough to compare strengths.

    Raises:
        DermsslError: only one class is among the labels.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, *, rough: bool = False) -> None:
        self.classes = np.unique(labels)
        if len(self.classes) < 2:
            raise DermsslError("the training images are of one class only: use fewer --folds or a larger --fraction")
        features = features.astype(np.float64)
        mean, std = features.mean(axis=0), features.std(axis=0)
        # a feature that never moves says nothing
        self._std = np.where(std > 1e-8 * max(1e-30, float(std.max())), std, 1.0)
        self._mean, self._labels = mean, labels
        self._standardised = ((features - mean) / self._std).astype(np.float32 if rough else np.float64)
        self._model = LogisticRegression(max_iter=ROUGH_ITERATIONS if rough else ITERATIONS, tol=1e-4, warm_start=True)

    def head(self, strength: float, classes: int) -> LinearHead:
        """The head at C = ``strength`` for ``classes`` classes, the standardisation folded into it."""
        with warnings.catch_warnings():
            # A head that is not quite at its optimum is as good; the protocol names the number of iterations.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = self._model.set_params(C=strength).fit(self._standardised, self._labels)
        weight, bias = fitted.coef_.astype(np.float64), fitted.intercept_.astype(np.float64)
        if len(self.classes) == 2:  # scikit-learn keeps one row, that of the second class
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        every_weight = np.zeros((classes, len(self._std)))
        every_bias = np.full(classes, -1e3)  # a class without training images is never the answer
        every_weight[self.classes] = weight / self._std
        every_bias[self.classes] = bias - (weight / self._std) @ self._mean
        return LinearHead(every_weight, every_bias)
