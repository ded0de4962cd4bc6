"""The fast bootstrap equals one that repeats images and computes every metric anew."""

import numpy as np
import pytest

from dermssl.evaluation.intervals import bootstrap, interval, intervals_of
from dermssl.evaluation.metrics import METRICS, classification_metrics
from dermssl.evaluation.predictions import Predictions

CLASSES = ("bkl", "mel", "nv")


def some_predictions(seed=0, n=120, groups=70, steps=8, shift=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.2, 0.2, 0.6])
    logits = rng.normal(size=(n, 3)) + shift * np.eye(3)[labels]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    probabilities = np.array([rng.multinomial(steps, p) for p in shares]) / steps  # ties, as votes have
    group = rng.integers(groups, size=n)
    return Predictions(
        images=np.array([f"i{i}" for i in range(n)]),
        groups=np.array([f"g{g}" for g in group]),
        folds=group % 3,
        labels=labels,
        predictions=probabilities.argmax(axis=1),
        probabilities=probabilities,
        classes=CLASSES,
    )


def slow_bootstrap(predictions, resamples, seed):
    names = np.unique(predictions.groups)
    draws = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    members = [np.flatnonzero(predictions.groups == name) for name in names]
    result = {name: [] for name in METRICS}
    for draw in draws:
        rows = np.concatenate([members[g] for g in draw])
        folds = []
        for fold in np.unique(predictions.folds):
            chosen = rows[predictions.folds[rows] == fold]
            if not len(chosen):  # a fold that was not drawn from says nothing
                continue
            folds.append(classification_metrics(predictions.labels[chosen], predictions.probabilities[chosen], CLASSES))
        for name in METRICS:
            result[name].append(np.nanmean([fold[name] for fold in folds]))
    return result


@pytest.mark.parametrize("groups", [70, 6])  # of 6, one resample in ten leaves a given fold out
def test_bootstrap_equals_a_plain_loop(groups):
    predictions = some_predictions(groups=groups)
    fast, slow = bootstrap(predictions, resamples=40, seed=3), slow_bootstrap(predictions, 40, 3)
    for name in METRICS:
        np.testing.assert_allclose(fast[name], slow[name], rtol=1e-9, err_msg=name)


def test_bootstrap_of_a_class_that_is_missing_is_undefined_not_wrong():
    predictions = some_predictions()
    only = predictions.labels != 1
    reduced = Predictions(
        **{name: value[only] if isinstance(value, np.ndarray) else value for name, value in vars(predictions).items()}
    )
    samples = bootstrap(reduced, resamples=20)
    assert np.isnan(samples["melanoma_sensitivity_at_95_specificity"]).all()
    assert np.isfinite(samples["recall_macro"]).all()
    assert np.isnan(interval(samples["melanoma_sensitivity_at_95_specificity"])).all()


def test_interval_of_the_accuracy_is_that_of_a_binomial_when_every_image_is_its_own_group():
    rng = np.random.default_rng(1)
    labels = np.zeros(1000, int)
    predictions = (rng.random(1000) < 0.3).astype(int)
    probabilities = np.eye(2)[predictions]
    names = np.arange(1000).astype(str)
    answers = Predictions(names, names, labels, labels, predictions, probabilities, ("a", "b"))
    low, high = interval(bootstrap(answers)["accuracy"])
    share = 1 - predictions.mean()
    half = 1.96 * np.sqrt(share * (1 - share) / 1000)
    assert low == pytest.approx(share - half, abs=0.005)
    assert high == pytest.approx(share + half, abs=0.005)


def test_images_of_one_lesion_widen_the_interval():
    rng = np.random.default_rng(2)
    right = np.repeat(rng.random(200) < 0.7, 5).astype(int)
    names = np.arange(1000).astype(str)
    lesions = np.repeat(np.arange(200), 5).astype(str)
    zeros = np.zeros(1000, int)
    alone = Predictions(names, names, zeros, zeros, 1 - right, np.eye(2)[1 - right], ("a", "b"))
    together = Predictions(names, lesions, zeros, zeros, 1 - right, np.eye(2)[1 - right], ("a", "b"))
    width = [np.ptp(interval(bootstrap(p)["accuracy"])) for p in (alone, together)]
    assert width[1] == pytest.approx(np.sqrt(5) * width[0], rel=0.2)


def test_no_interval_of_a_few_images_reaches_below_zero():
    few = some_predictions(n=12, groups=12, shift=3.0)
    values = classification_metrics(few.labels, few.probabilities, CLASSES) | {"ece": 0.01}
    samples = bootstrap(few)["ece"]
    assert np.quantile(samples, 0.025) - samples.mean() + values["ece"] < 0  # the case at hand
    for name, (low, high) in intervals_of(few, values).items():
        assert np.isnan(low) or 0 <= low <= high, name
