"""The queue against a plain list."""

import pytest
import torch

from dermssl.methods.queue import KeyQueue


@pytest.mark.parametrize("size", [1, 5, 8, 12, 30])
def test_enqueue_keeps_the_last_keys_across_the_end(size):
    queue, pushed = KeyQueue(size, 3), []
    generator = torch.Generator().manual_seed(0)
    for batch in (5, 5, 5, 3, 7):  # ends inside, at and beyond the end of each size
        keys = torch.randn(batch, 3, generator=generator)
        queue.enqueue(keys)
        pushed += keys.tolist()
        assert sorted(queue.keys[queue.valid()].tolist()) == sorted(pushed[-size:])
        assert int(queue.filled) == min(size, len(pushed))


def test_the_oldest_key_goes_first():
    queue = KeyQueue(4, 1)
    queue.enqueue(torch.tensor([[1.0], [2.0], [3.0]]))
    queue.enqueue(torch.tensor([[4.0], [5.0]]))
    assert queue.keys.flatten().tolist() == [5, 2, 3, 4]


def test_state_is_persistent():
    queue = KeyQueue(4, 2)
    queue.enqueue(torch.randn(3, 2))
    other = KeyQueue(4, 2)
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.keys, queue.keys)
    assert int(other.pointer) == int(other.filled) == 3


@pytest.mark.parametrize("size", [5, 12, 30])
def test_an_image_s_own_keys_do_not_count(size):
    """Against a plain list of (key, owner), with a queue longer than the set of images as well."""
    queue, pushed = KeyQueue(size, 3), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        index = torch.randperm(7, generator=generator)[:4]
        keys = torch.randn(4, 3, generator=generator)
        valid = queue.valid(index)
        for row, own in zip(valid, index.tolist(), strict=True):
            expected = [key for key, owner in pushed[-size:] if owner != own]
            assert sorted(queue.keys[row].tolist()) == sorted(expected)
        queue.enqueue(keys, index)
        pushed += zip(keys.tolist(), index.tolist(), strict=True)


def test_keys_of_unknown_images_always_count():
    queue = KeyQueue(6, 2)
    queue.enqueue(torch.randn(2, 2), torch.tensor([0, 1]))
    queue.enqueue(torch.randn(2, 2))
    assert queue.owners.tolist() == [0, 1, -1, -1, -1, -1]
    assert queue.valid(torch.tensor([1, 5])).tolist() == [
        [True, False, True, True, False, False],
        [True, True, True, True, False, False],
    ]
    assert queue.valid().tolist() == [True] * 4 + [False] * 2
    queue.enqueue(torch.randn(4, 2))  # an unnamed image's key takes the place of a named one's
    assert queue.owners.tolist() == [-1] * 6


def test_a_state_without_owners_is_read():
    """Those of dermssl 0.1.0."""
    queue = KeyQueue(4, 2)
    queue.enqueue(torch.randn(3, 2), torch.tensor([3, 1, 2]))
    state = {name: value for name, value in queue.state_dict().items() if name != "owners"}
    other = KeyQueue(4, 2)
    other.enqueue(torch.randn(3, 2), torch.tensor([7, 8, 9]))
    other.load_state_dict(state)
    assert other.owners.tolist() == [-1] * 4
    assert torch.equal(other.keys, queue.keys)
    again = KeyQueue(4, 2)
    again.load_state_dict(queue.state_dict())
    assert again.owners.tolist() == [3, 1, 2, -1]
