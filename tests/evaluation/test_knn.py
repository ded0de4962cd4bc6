"""KNN equals scikit-learn's, in one piece and in chunks."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from dermssl.evaluation.knn import knn_probabilities


def features(seed, n, width=16, classes=5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    return centres[labels] + 1.5 * rng.normal(size=(n, width)), labels


@pytest.mark.parametrize("weighting", ["uniform", "distance"])
@pytest.mark.parametrize("k", [1, 4, 100, 300])
def test_equals_scikit_learn_in_answers_and_probabilities(weighting, k):
    (bank, labels), (queries, _) = features(0, 300), features(1, 150)
    oracle = KNeighborsClassifier(k, metric="cosine", weights=weighting, algorithm="brute").fit(bank, labels)
    ours = knn_probabilities(
        torch.from_numpy(bank),
        torch.from_numpy(labels),
        torch.from_numpy(queries),
        k=k,
        classes=5,
        weighting=weighting,
    ).numpy()
    np.testing.assert_allclose(ours, oracle.predict_proba(queries), atol=1e-9)
    # k = 4 in 5 classes ties often: the first class of equals answers, as in scikit-learn
    np.testing.assert_array_equal(ours.argmax(axis=1), oracle.predict(queries))


@pytest.mark.parametrize("weighting", ["uniform", "distance"])
def test_chunks_change_nothing(weighting):
    (bank, labels), (queries, _) = features(2, 257), features(3, 101)
    arguments = [torch.from_numpy(a) for a in (bank, labels, queries)]
    whole = knn_probabilities(*arguments, k=20, classes=5, weighting=weighting)
    for query_chunk, bank_chunk in [(1, 7), (100, 16), (1000, 256)]:
        parts = knn_probabilities(
            *arguments, k=20, classes=5, weighting=weighting, query_chunk=query_chunk, bank_chunk=bank_chunk
        )
        torch.testing.assert_close(parts, whole)


def test_only_exact_matches_vote_by_distance_as_in_scikit_learn():
    bank = np.eye(3)[[0, 0, 1, 2]]
    labels = np.array([0, 1, 2, 2])
    queries = np.eye(3)[[0]]
    oracle = KNeighborsClassifier(4, metric="cosine", weights="distance", algorithm="brute").fit(bank, labels)
    ours = knn_probabilities(
        torch.from_numpy(bank),
        torch.from_numpy(labels),
        torch.from_numpy(queries),
        k=4,
        classes=3,
        weighting="distance",
    )
    np.testing.assert_allclose(ours.numpy(), oracle.predict_proba(queries))


def test_length_of_the_features_does_not_count():
    (bank, labels), (queries, _) = features(4, 100), features(5, 20)
    scale = np.random.default_rng(0).uniform(0.1, 10, size=(100, 1))
    arguments = [torch.from_numpy(labels), torch.from_numpy(queries)]
    plain = knn_probabilities(torch.from_numpy(bank), *arguments, k=9, classes=5)
    scaled = knn_probabilities(torch.from_numpy(bank * scale), *arguments, k=9, classes=5)
    torch.testing.assert_close(plain, scaled)
