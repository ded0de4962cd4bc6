"""The exchanges between ranks, and what each rank makes of a global batch."""

import jobs
import numpy as np
import pytest
from ranks import on_ranks

from dermssl import distributed

pytestmark = pytest.mark.slow  # several processes


@pytest.mark.parametrize("ranks", [2, 3])
def test_exchanges(ranks, tmp_path):
    every = on_ranks(ranks, jobs.exchange, tmp_path / "group")
    rows = np.arange(12.0).reshape(6, 2)
    assert np.array_equal(np.concatenate([one["share"] for one in every]), rows)
    for rank, one in enumerate(every):
        assert np.array_equal(one["gathered"], rows)
        assert np.array_equal(one["dealt"], rows[rank::ranks])
        assert np.array_equal(one["uneven"], np.arange(5 * ranks)[rank::ranks])
        assert np.array_equal(one["collected"], one["share"])
        assert np.array_equal(one["collected_uneven"], np.arange(5 * rank, 5 * rank + 5))
        assert np.array_equal(one["gradient"], sum(range(1, ranks + 1)) * 2 * one["share"])
        assert np.array_equal(one["images"], np.arange(6 * 12.0).reshape(6, 3, 2, 2))
        vector, scalar, whole = one["means"]
        assert np.allclose(vector, [1, (ranks - 1) / 2])
        assert np.allclose(scalar, (ranks - 1) / 2)
        assert np.array_equal(whole, [3 * rank]), "whole numbers are counts, not averages"
        assert one["any"] == [True, False]
        assert one["from_main"] == {"rank": 0}
        assert one["main"] == (rank == 0)


def test_one_process_exchanges_nothing():
    (alone,) = on_one()
    assert np.array_equal(alone["share"], alone["gathered"])
    assert alone["any"] == [False, False]
    assert alone["main"]
    assert distributed.world_size() == 1


def on_one():
    return [jobs.exchange()]


@pytest.mark.parametrize("ranks", [2, 3])
def test_views_do_not_depend_on_the_number_of_ranks(ranks, tmp_path):
    images = np.random.default_rng(0).integers(256, size=(20, 24, 24, 3), dtype=np.uint8)
    whole = jobs.batches(images, 6)
    shares = on_ranks(ranks, jobs.batches, tmp_path / "group", images, 6)
    assert all(np.array_equal(one["order"], whole["order"]) for one in shares)
    assert np.array_equal(np.concatenate([one["images"] for one in shares], axis=1), whole["images"])
    for name in ("query", "key", "turns"):
        assert np.array_equal(np.concatenate([one[name] for one in shares]), whole[name])


@pytest.mark.parametrize("ranks", [2, 3])
def test_shuffled_batchnorm_sees_groups_of_the_whole_batch(ranks, tmp_path):
    images = np.random.default_rng(0).normal(size=(24, 3, 2, 2)).astype(np.float32)
    shares = on_ranks(ranks, jobs.shuffled_keys, tmp_path / "group", images, 4)
    group_of = np.arange(24) % 6
    keys = np.concatenate(shares)
    for group in range(6):  # without the affine part each group has mean 0 and variance 1
        assert np.allclose(keys[group_of == group].mean(0), 0, atol=1e-5)
        assert np.allclose(keys[group_of == group].var(0), 1, atol=1e-2)
    try:
        assert np.allclose(keys, jobs.shuffled_keys(images, 4), atol=1e-6), "the groups of one process"
    finally:
        jobs.momentum.SHUFFLE_GROUP = 32
