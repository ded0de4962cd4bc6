"""The ranking of pairs that may show one lesion, against every pair sorted plainly."""

import itertools

import numpy as np
import pytest

from dermssl.data.joining import ham10000_pairs
from dermssl.errors import DermsslError
from dermssl.evaluation.leakage.lesions import rank_lesions
from dermssl.evaluation.leakage.search import leakage
from dermssl.reporting.leakage_page import write_leakage_page

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
    write_leakage_page(tmp_path / "leakage.html", result)
    page = (tmp_path / "leakage.html").read_text()
    place = result.lesions.named[0]
    for said in ("photographed twice", "is among the nearest neighbours of the other", "rank of all pairs"):
        assert said in page
    assert f">{place.similarity:.3f}</td>" in page
    assert page.count("<img") == 2 * (len(result.pairs) + min(24, len(result.lesions.candidates)))
    header, *rows = (tmp_path / "out" / "candidates.csv").read_text().splitlines()
    assert header == "first,second,similarity"
    assert len(rows) == len(result.lesions.candidates)
    with pytest.raises(DermsslError, match=r"--join needs --weights and one DATA"):
        leakage(data, join=tmp_path / "pairs.csv")


def test_the_known_pairs_of_a_recognised_set_are_looked_up_by_themselves(tmp_path):
    data = write_set(tmp_path / "set", {"mel": 9, "nv": 9})
    options = {"weights": "random:resnet10t", "image_size": 32, "device": "cpu"}
    assert leakage(data, **options).lesions.named == ()
    text = data.read_text()
    for name, other in zip(ham10000_pairs()[0], ("mel_0_1.png", "mel_0_2.png"), strict=True):
        (data.parent / other).rename(data.parent / f"{name}.png")
        text = text.replace(other, f"{name}.png")
    data.write_text(text.replace("image,label,group", "image_id,dx,lesion_id"))
    (data.parent / "images.csv").rename(data.parent / "HAM10000_metadata.csv")
    (place,) = leakage(data.parent, **options).lesions.named
    assert (place.first, place.second) == tuple(f"{name}.png" for name in ham10000_pairs()[0])


def test_images_without_lesions_have_candidates_and_no_siblings():
    ranking = rank_lesions(np.random.default_rng(0).normal(size=(6, 3)), list("abcdef"), np.array(list("abcdef")))
    assert (ranking.images, ranking.median_rank, ranking.within) == (0, None, {})
    assert len(ranking.candidates) == 15
