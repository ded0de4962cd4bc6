"""Batches: every image once an epoch, an order that depends on seed and epoch only, errors that arrive."""

import mmap
import threading

import numpy as np
import pytest
import torch

from dermssl import DermsslError
from dermssl.data import loader as loader_module
from dermssl.data.loader import Loader, _pages, _read_ahead

CPU = torch.device("cpu")


@pytest.fixture
def images() -> np.ndarray:
    """(23, 4, 4, 3): image i holds the number i."""
    return np.broadcast_to(np.arange(23, dtype=np.uint8)[:, None, None, None], (23, 4, 4, 3)).copy()


def numbers(loader: Loader, epoch: int, start: int = 0) -> list[list[int]]:
    found = []
    for batch, index in loader.epoch(epoch, start):
        assert batch[:, 0, 0, 0].tolist() == index.tolist(), "images come with their numbers"
        assert index.dtype == torch.int64
        found.append(index.tolist())
    return found


def test_an_epoch_shows_each_image_at_most_once_in_full_batches(images):
    loader = Loader(images, 5, seed=0, device=CPU)
    assert len(loader) == 4
    batches = numbers(loader, 0)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5]
    assert len({i for batch in batches for i in batch}) == 20


def test_batches_are_bytes_as_they_lie_in_the_cache(images):
    batch, _ = next(Loader(images, 5, seed=0, device=CPU).epoch(0))
    assert batch.dtype == torch.uint8
    assert batch.shape == (5, 4, 4, 3)


def test_the_order_depends_on_seed_and_epoch_only(images):
    loader = Loader(images, 5, seed=0, device=CPU)
    assert numbers(loader, 3) == numbers(Loader(images, 5, seed=0, device=CPU), 3)
    assert numbers(loader, 3) != numbers(loader, 4)
    assert numbers(loader, 3) != numbers(Loader(images, 5, seed=1, device=CPU), 3)


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_an_epoch_can_be_entered_anywhere(images, start):
    loader = Loader(images, 5, seed=0, device=CPU)
    assert numbers(loader, 2, start) == numbers(loader, 2)[start:]


def test_a_memory_map_gives_the_same_batches(images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert numbers(Loader(mapped, 5, seed=0, device=CPU), 1) == numbers(Loader(images, 5, seed=0, device=CPU), 1)


def test_leaving_an_epoch_early_leaves_no_thread(images):
    before = threading.active_count()
    batches = Loader(images, 2, seed=0, device=CPU).epoch(0)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_an_error_while_reading_is_raised_to_the_one_who_trains(images, monkeypatch):
    loader = Loader(images, 5, seed=0, device=CPU)

    def failing(order):
        yield torch.zeros(1), torch.zeros(1)
        raise OSError("disk gone")

    monkeypatch.setattr(loader, "_gather", failing)
    batches = loader.epoch(0)
    next(batches)
    with pytest.raises(OSError, match="disk gone"):
        next(batches)


def test_a_batch_larger_than_the_data_set_is_refused(images):
    with pytest.raises(DermsslError, match="--batch-size 24 is larger than the data set: 23 images"):
        Loader(images, 24, seed=0, device=CPU)


def test_read_ahead_asks_for_whole_images_and_little_more(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 40, 40, 3), np.uint8)  # an image is more than a page
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    index = np.array([39, 0, 17])
    for i, (start, length) in zip(index, _pages(mapped, index), strict=True):
        assert start % mmap.PAGESIZE == 0
        assert images[i].tobytes() in mapped.base[start : start + length]
        assert length < images[i].nbytes + mmap.PAGESIZE
    _read_ahead(mapped, index)
    _read_ahead(images, index)  # nothing to read
    assert np.array_equal(mapped[index], images[index])


@pytest.mark.parametrize(("free", "resident"), [(10**6, True), (23 * 48, False), (0, False)])
def test_what_the_device_has_room_for_is_decided_after_a_step(images, free, resident):
    asked: list[torch.device] = []

    def free_memory(device: torch.device) -> int:
        asked.append(device)
        return free

    loader = Loader(images, 5, seed=0, device=CPU, free_memory=free_memory)
    batches = loader.epoch(0)
    first = next(batches)
    assert asked == [], "the memory of the first step is not taken yet"
    found = [first[1].tolist(), *(index.tolist() for _, index in batches)]
    assert asked == [CPU]
    assert loader.resident == resident
    assert found == numbers(Loader(images, 5, seed=0, device=CPU), 0)
    assert numbers(loader, 1, 2) == numbers(Loader(images, 5, seed=0, device=CPU), 1, 2)
    assert asked == [CPU], "it is decided once"


def test_images_that_do_not_fit_after_all_are_sent_one_batch_after_another(images, monkeypatch, caplog):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loader_module, "_copied", full)
    loader = Loader(images, 5, seed=0, device=CPU, free_memory=lambda device: 10**9)
    with caplog.at_level("INFO", logger="dermssl"):
        assert numbers(loader, 0) == numbers(Loader(images, 5, seed=0, device=CPU), 0)
    assert "batches are sent there one by one" in caplog.text
    assert not loader.resident


def test_an_epoch_that_is_over_decides_nothing(images):
    loader = Loader(images, 5, seed=0, device=CPU, free_memory=lambda device: 1 / 0)
    assert numbers(loader, 0, len(loader)) == []
