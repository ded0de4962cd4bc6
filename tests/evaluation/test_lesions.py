"""The ranking of pairs that may show one lesion, against every pair sorted plainly."""

import itertools

import numpy as np
import pytest

from dermssl.errors import DermsslError
from dermssl.evaluation.leakage.lesions import rank_lesions
from dermssl.evaluation.leakage.search import leakage

from .conftest import write_set


def test_ranks_equal_every_pair_sorted(monkeypatch):
    monkeypatch.setattr("dermssl.evaluation.leakage.lesions._CHUNK", 7)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 5)) + 3
    groups = np.array([f"g{i // 2}" if i < 20 else f"h{i}" for i in range(40)])
    named = [(0, 1), (2, 30), (25, 3)]
    ranking = rank_lesions(features, [f"i{i}" for i in range(40)], groups, named)

    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    unit = standard / np.linalg.norm(standard, axis=1, keepdims=True)
    cosine = unit @ unit.T
    pairs = [(a, b) for a, b in itertools.combinations(range(40), 2) if groups[a] != groups[b]]
    pairs.sort(key=lambda pair: -cosine[pair])
    assert ranking.pairs == len(pairs)
    for (first, second, value), (a, b) in zip(ranking.candidates[:30], pairs, strict=False):
        assert (first, second) == (f"i{a}", f"i{b}")
        assert value == pytest.approx(cosine[a, b], abs=1e-4)
    for place, (a, b) in zip(ranking.named, named, strict=True):
        assert place.pair_rank == 1 + sum(cosine[pair] > cosine[a, b] + 1e-7 for pair in pairs)
        ranks = [
            1 + sum(cosine[one, x] > cosine[a, b] + 1e-7 for x in range(40) if groups[x] != groups[one])
            for one in (a, b)
        ]
        assert place.neighbour_rank == min(ranks)
    nearest = [1 + sum(cosine[i, x] > cosine[i, i ^ 1] for x in range(40) if groups[x] != groups[i]) for i in range(20)]
    assert (ranking.lesions, ranking.images) == (10, 20)
    assert ranking.within == {k: np.mean([rank <= k for rank in nearest]) for k in (1, 5, 10, 100)}
    assert ranking.median_rank == np.median(nearest)


def test_leakage_reports_the_ranking_and_writes_the_candidates(tmp_path):
    data = write_set(tmp_path / "set", {"mel": 9, "nv": 9})
    (tmp_path / "pairs.csv").write_text("mel_0_1.png,mel_0_2.png\n")
    options = {"weights": "random:test_resnet", "image_size": 32, "device": "cpu"}
    result = leakage(data, join=tmp_path / "pairs.csv", **options)
    assert result.lesions.images > 0
    assert result.lesions.named[0].first == "mel_0_1.png"
    assert "rank of all pairs" in result.to_markdown()
    result.save(tmp_path / "out")
    header, *rows = (tmp_path / "out" / "candidates.csv").read_text().splitlines()
    assert header == "first,second,similarity"
    assert len(rows) == len(result.lesions.candidates)
    with pytest.raises(DermsslError, match=r"--join: .* needs --weights"):
        leakage(data, join=tmp_path / "pairs.csv")


def test_images_without_lesions_have_candidates_and_no_siblings():
    ranking = rank_lesions(np.random.default_rng(0).normal(size=(6, 3)), list("abcdef"), np.array(list("abcdef")))
    assert (ranking.images, ranking.median_rank, ranking.within) == (0, None, {})
    assert len(ranking.candidates) == 15
