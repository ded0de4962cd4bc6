"""The memory bank against plain loops."""

import pytest
import torch
import torch.nn.functional as F

from dermssl.methods.memory_bank import MemoryBank


def unit_rows(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_it_is_a_moving_average_by_image_from_the_first_embedding_on():
    memory, plain = MemoryBank(7, 4), {}
    for step in range(6):
        index = torch.randperm(7, generator=torch.Generator().manual_seed(step))[:3]
        fresh = unit_rows(3, step)
        for i, row in zip(index.tolist(), fresh, strict=True):
            average = 0.3 * plain[i] + 0.7 * row if i in plain else row
            plain[i] = average / average.norm()
        memory.update(index, fresh, 0.3)
        assert memory.seen.nonzero().flatten().tolist() == sorted(plain)
        for i, row in plain.items():
            torch.testing.assert_close(memory.embeddings[i], row)


def test_an_image_never_seen_has_its_own_embedding_as_memory():
    memory = MemoryBank(5, 4)
    memory.update(torch.tensor([1, 3]), unit_rows(2, 0), 0.5)
    fresh = unit_rows(3, 1)
    got = memory.read(torch.tensor([3, 0, 1]), fresh)
    assert torch.equal(got, torch.stack([memory.embeddings[3], fresh[1], memory.embeddings[1]]))


@pytest.mark.parametrize(("count", "drawn"), [(4, 4), (6, 6), (100, 6)])
def test_negatives_are_memories_of_other_images(count, drawn):
    memory = MemoryBank(6, 4)
    memory.update(torch.tensor([0, 2, 5, 4]), unit_rows(4, 0), 0.5)
    torch.manual_seed(0)
    negatives, valid = memory.draw(count, torch.tensor([2, 3]))
    assert negatives.shape == (drawn, 4)
    assert valid.shape == (2, drawn)
    images = [
        next(i for i in range(6) if torch.equal(row, memory.embeddings[i])) if row.any() else None for row in negatives
    ]
    for own, row in zip((2, 3), valid.tolist(), strict=True):
        assert row == [i is not None and i != own for i in images]
    if count >= 6:
        assert sorted(i for i in images if i is not None) == [0, 2, 4, 5], "each image once"


def test_draws_differ_and_follow_the_global_seed():
    memory = MemoryBank(100, 4)
    memory.update(torch.arange(100), unit_rows(100, 0), 0.5)

    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return memory.draw(10, torch.tensor([0]))[0]

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
