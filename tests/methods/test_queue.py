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
