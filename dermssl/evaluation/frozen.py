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

# Of the logistic regression. More strength fits the training features better.
STRENGTH = 0.1
ITERATIONS = 1000


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
    device: torch.device | None = None,
) -> LinearHead:
    """Train the recipe's head on features (N, D) with labels (N,) in [0, classes).

    Raises:
        DermsslError: only one class is among the labels.
    """
    if recipe.head == "linear":
        where = device or torch.device("cpu")
        tensors = torch.from_numpy(features).to(where), torch.from_numpy(labels).to(where)
        head = train_linear(*tensors, classes, recipe, epochs=epochs, seed=seed)
        weight, bias = head.weight.detach().double().cpu().numpy(), head.bias.detach().double().cpu().numpy()
        return LinearHead(weight, bias)
    return _logistic(features, labels, classes)


def _logistic(features: np.ndarray, labels: np.ndarray, classes: int) -> LinearHead:
    """Multinomial logistic regression on standardised features, the standardisation folded into the head."""
    present = np.unique(labels)
    if len(present) < 2:
        raise DermsslError("a training fold holds one class only: use fewer --folds or a larger --fraction")
    features = features.astype(np.float64)
    mean, std = features.mean(axis=0), features.std(axis=0)
    std = np.where(std > 1e-8 * max(1e-30, float(std.max())), std, 1.0)  # a feature that never moves says nothing
    standardised = (features - mean) / std
    with warnings.catch_warnings():
        # A head that is not quite at its optimum is as good; the protocol names the number of iterations.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS, tol=1e-4).fit(standardised, labels)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(present) == 2:  # scikit-learn keeps one row, that of the second class
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    every_weight = np.zeros((classes, features.shape[1]))
    every_bias = np.full(classes, -1e3)  # a class without training images is never the answer
    every_weight[present] = weight / std
    every_bias[present] = bias - (weight / std) @ mean
    return LinearHead(every_weight, every_bias)
