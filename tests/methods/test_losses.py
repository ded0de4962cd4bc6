"""The losses against plain loops in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from dermssl.methods.losses import cosine_distance, info_nce, nt_xent, rotation_loss


def unit_rows(rows: int, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, dim, generator=generator, dtype=torch.float64), dim=1)


def plain_info_nce(q, k, queue, valid, tau):
    total = 0.0
    for i in range(len(q)):
        positive = math.exp(sum(float(a) * float(b) for a, b in zip(q[i], k[i], strict=True)) / tau)
        negatives = 0.0
        for j in range(len(queue)):
            if valid[j]:
                negatives += math.exp(sum(float(a) * float(b) for a, b in zip(q[i], queue[j], strict=True)) / tau)
        total += -math.log(positive / (positive + negatives))
    return total / len(q)


@pytest.mark.parametrize("tau", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("filled", [0, 5, 12])
def test_info_nce_is_equation_3(tau, filled):
    q, k, queue = unit_rows(6, 8, 0), unit_rows(6, 8, 1), unit_rows(12, 8, 2)
    valid = torch.arange(12) < filled
    expected = plain_info_nce(q, k, queue, valid, tau)
    assert float(info_nce(q, k, queue, valid, tau)) == pytest.approx(expected, rel=1e-12)
    in_float32 = info_nce(q.float(), k.float(), queue.float(), valid, tau)
    assert float(in_float32) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_info_nce_of_equal_embeddings_is_log_of_the_number_of_choices():
    same = F.normalize(torch.ones(4, 8), dim=1)
    loss = info_nce(same, same, same.repeat(3, 1), torch.ones(12, dtype=torch.bool), 0.2)
    assert float(loss) == pytest.approx(math.log(13), rel=1e-6)


def test_slots_never_written_do_not_count():
    q, k = unit_rows(4, 8, 0), unit_rows(4, 8, 1)
    queue = torch.cat([unit_rows(5, 8, 2), torch.zeros(7, 8, dtype=torch.float64)])
    short = info_nce(q, k, queue[:5], torch.ones(5, dtype=torch.bool), 0.2)
    assert torch.equal(info_nce(q, k, queue, torch.arange(12) < 5, 0.2), short)


def plain_rotation_loss(outputs, turns, sigmoid):
    total = 0.0
    for row, y in zip(outputs.tolist(), turns.tolist(), strict=True):
        activated = [1 / (1 + math.exp(-f)) for f in row] if sigmoid else row
        total += math.log(sum(math.exp(f) for f in activated)) - activated[y]
    return total / len(outputs)


@pytest.mark.parametrize(("activation", "sigmoid"), [("sigmoid", True), ("none", False)])
def test_rotation_loss_is_equation_1(activation, sigmoid):
    generator = torch.Generator().manual_seed(0)
    outputs = 3 * torch.randn(10, 4, generator=generator, dtype=torch.float64)
    turns = torch.randint(4, (10,), generator=generator)
    expected = plain_rotation_loss(outputs, turns, sigmoid)
    assert float(rotation_loss(outputs, turns, activation)) == pytest.approx(expected, rel=1e-12)


def test_the_sigmoid_bounds_the_rotation_loss_from_below():
    certain = torch.full((4, 4), -1e3).fill_diagonal_(1e3)
    assert float(rotation_loss(certain, torch.arange(4))) == pytest.approx(math.log(1 + 3 / math.e), rel=1e-6)
    assert float(rotation_loss(certain, torch.arange(4), "none")) == pytest.approx(0, abs=1e-6)


def cosine(a, b) -> float:
    a, b = [float(x) for x in a], [float(x) for x in b]
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def plain_nt_xent(first, second, tau):
    views = [*first, *second]
    total = 0.0
    for i, view in enumerate(views):
        others = {j: math.exp(cosine(view, other) / tau) for j, other in enumerate(views) if j != i}
        total += -math.log(others[(i + len(first)) % len(views)] / sum(others.values()))
    return total / len(views)


def two_views(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = 3 * torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
    return first, second


@pytest.mark.parametrize("tau", [0.07, 0.2, 0.5])
def test_nt_xent_is_simclrs_equation_1(tau):
    first, second = two_views()
    assert float(nt_xent(first, second, tau)) == pytest.approx(plain_nt_xent(first, second, tau), rel=1e-12)


def test_nt_xent_of_equal_embeddings_is_log_of_the_number_of_choices():
    same = torch.ones(4, 8)
    assert float(nt_xent(same, same, 0.2)) == pytest.approx(math.log(7), rel=1e-6)


def test_cosine_distance_is_byols_equation_2():
    prediction, target = two_views()
    expected = 0.0
    for p, z in zip(prediction, target, strict=True):
        p, z = p / math.sqrt(sum(x * x for x in p)), z / math.sqrt(sum(x * x for x in z))
        expected += sum(float(a - b) ** 2 for a, b in zip(p, z, strict=True)) / len(prediction)
    assert float(cosine_distance(prediction, target)) == pytest.approx(expected, rel=1e-12)


def lightly_loss(name: str):
    return getattr(pytest.importorskip("lightly.loss", reason="lightly (extra 'compare') is not installed"), name)


def assert_same_gradients(ours: torch.Tensor, theirs: torch.Tensor, tensors: list[torch.Tensor]) -> None:
    for a, b in zip(torch.autograd.grad(ours, tensors), torch.autograd.grad(theirs, tensors), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_nt_xent_is_lightlys(tau):
    views = [view.requires_grad_() for view in two_views()]
    ours, theirs = nt_xent(*views, tau), lightly_loss("NTXentLoss")(temperature=tau)(*views)
    torch.testing.assert_close(ours, theirs)
    assert_same_gradients(ours, theirs, views)


def test_info_nce_is_lightlys_with_a_memory_bank():
    q, k, queue = unit_rows(6, 8, 0), unit_rows(6, 8, 1), unit_rows(12, 8, 2)
    theirs = lightly_loss("NTXentLoss")(temperature=0.2, memory_bank_size=(12, 8))
    theirs.memory_bank.bank = queue
    torch.testing.assert_close(info_nce(q, k, queue, torch.ones(12, dtype=torch.bool), 0.2), theirs(q, k))


def test_cosine_distance_is_lightlys_up_to_its_scale():
    views = [view.requires_grad_() for view in two_views()]
    ours, theirs = cosine_distance(*views), 2 + 2 * lightly_loss("NegativeCosineSimilarity")()(*views)
    torch.testing.assert_close(ours, theirs)
    assert_same_gradients(ours, theirs, views)
