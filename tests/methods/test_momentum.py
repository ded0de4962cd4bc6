"""The momentum encoder against plain loops."""

import logging
import math

import numpy as np
import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn

from dermssl import DermsslError
from dermssl.methods.momentum import SHUFFLE_GROUP, MomentumEncoder, momentum_at


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
        self(torch.randn(2, 3, 6, 6))

    def forward(self, images):
        return self.net(images)

    embed = forward


def encoders(key_norm: str) -> tuple[Tiny, MomentumEncoder]:
    torch.manual_seed(0)
    encoder = Tiny()
    return encoder, MomentumEncoder(encoder, key_norm)


def disturb(encoder: nn.Module) -> None:
    with torch.no_grad():
        for tensor in [*encoder.parameters(), *encoder.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor))


@pytest.mark.parametrize("key_norm", ["batch", "ema", "shuffle"])
@pytest.mark.parametrize("m", [0.0, 0.9, 0.999])
def test_the_update_is_equation_4(key_norm, m):
    encoder, key_encoder = encoders(key_norm)
    theta_k = {name: p.double().clone() for name, p in key_encoder.encoder.named_parameters()}
    for _ in range(3):
        disturb(encoder)
        key_encoder.update(encoder, m)
        for name, p in encoder.named_parameters():
            theta_k[name] = m * theta_k[name] + (1 - m) * p.detach().double()
    for name, p in key_encoder.encoder.named_parameters():
        torch.testing.assert_close(p.double(), theta_k[name], rtol=1e-5, atol=1e-6)


def test_ema_averages_the_statistics_too():
    encoder, key_encoder = encoders("ema")
    before = key_encoder.encoder.net[1].running_mean.clone()
    disturb(encoder)
    key_encoder.update(encoder, 0.9)
    expected = 0.9 * before + 0.1 * encoder.net[1].running_mean
    torch.testing.assert_close(key_encoder.encoder.net[1].running_mean, expected)


@pytest.mark.parametrize("key_norm", ["batch", "ema", "shuffle"])
def test_keys_have_no_gradient_and_the_query_encoder_stays_as_it_is(key_norm):
    encoder, key_encoder = encoders(key_norm)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    assert not key_encoder.train()(torch.randn(80, 3, 6, 6)).requires_grad
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def test_what_each_norm_lets_a_key_see():
    """batch: of the whole batch; shuffle: of its own group only; ema: of nothing but itself."""
    images = torch.randn(2 * SHUFFLE_GROUP, 3, 6, 6)
    changed = images.clone()
    changed[1] += 5  # an odd place: the second of the two strided groups

    def moved(key_norm: str) -> torch.Tensor:
        _, key_encoder = encoders(key_norm)
        key_encoder.train()
        return (key_encoder(images) - key_encoder(changed)).abs().amax(1) > 1e-6

    assert moved("batch").sum() > 60
    by_group = moved("shuffle")
    assert by_group[1::2].sum() > 30
    assert not by_group[0::2].any()
    assert moved("ema").nonzero().flatten().tolist() == [1]


def test_shuffled_keys_come_back_in_order():
    _, key_encoder = encoders("shuffle")
    images = torch.randn(3 * SHUFFLE_GROUP, 3, 6, 6)
    keys = key_encoder.train()(images)
    for g in range(3):
        torch.testing.assert_close(keys[g::3], key_encoder.encoder(images[g::3]))


@pytest.mark.parametrize("key_norm", ["batch", "ema"])
def test_the_update_has_the_bits_of_timms(key_norm):
    encoder, key_encoder = encoders(key_norm)
    timms = ModelEmaV3(encoder, exclude_buffers=key_norm != "ema")
    for m in (0.99, 0.9, 0.999):
        disturb(encoder)
        timms.decay = m
        timms.update(encoder)
        key_encoder.update(encoder, m)
    theirs = timms.module.state_dict()
    for name, tensor in key_encoder.encoder.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


def test_what_keys_do_not_need_is_neither_held_nor_followed():
    encoder, _ = encoders("batch")
    encoder.other = nn.Linear(2, 2)
    key_encoder = MomentumEncoder(encoder, "batch", without=["other"])
    assert not any("other" in name for name in key_encoder.state_dict())
    key_encoder.update(encoder, 0.5)
    assert encoder.other.weight.requires_grad


def test_an_earlier_state_is_read():
    """dermssl 0.1.0 called the copy ``average.module`` and kept the rotation head in it."""
    encoder, key_encoder = encoders("batch")
    encoder.other = nn.Linear(2, 2)
    slim = MomentumEncoder(encoder, "batch", without=["other"])
    disturb(key_encoder.encoder)
    state = {name.replace("encoder.", "average.module."): v for name, v in key_encoder.state_dict().items()}
    state["average.module.other.weight"] = torch.zeros(2, 2)
    slim.load_state_dict(state)
    for name, tensor in key_encoder.state_dict().items():
        assert torch.equal(slim.state_dict()[name], tensor), name
    nn.ModuleDict({"key_encoder": slim}).load_state_dict({f"key_encoder.{n}": v for n, v in state.items()})


@pytest.mark.parametrize(
    ("batch", "groups"), [(64, 2), (100, 2), (96, 3), (512, 16), (80, 2), (63, 1), (32, 1), (97, 1), (2, 1)]
)
def test_shuffle_divides_what_it_can_and_says_what_it_cannot(batch, groups, caplog):
    _, key_encoder = encoders("shuffle")
    with caplog.at_level(logging.WARNING, "dermssl"):
        assert key_encoder._groups(batch) == groups
        assert key_encoder._groups(batch) == groups
    assert batch % groups == 0
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (groups == 1), "said once"
    if said:
        assert f"a batch of {batch} in one process cannot be divided" in said[0]
        assert "--batch-size 64" in said[0] or "--batch-size 96" in said[0]


def test_queries_are_in_other_groups_than_their_keys():
    """Of the images that normalise a query, at most one in each group of keys normalises its own key."""
    encoder, key_encoder = encoders("shuffle")
    count = SHUFFLE_GROUP * 4
    images = torch.randn(count, 3, 6, 6)
    with torch.no_grad(), key_encoder.train().queries(count):
        queries = encoder.train()(images)
    expected = torch.cat([encoder(chunk) for chunk in images.chunk(4)])
    torch.testing.assert_close(queries, expected)


@pytest.mark.parametrize("key_norm", ["batch", "ema"])
def test_queries_see_the_whole_batch_elsewhere(key_norm):
    encoder, key_encoder = encoders(key_norm)
    images = torch.randn(64, 3, 6, 6)
    with key_encoder.train().queries(64):
        assert torch.equal(encoder.train()(images), encoder(images))


def test_half_precision_parameters_are_refused():
    with pytest.raises(DermsslError, match="autocast"):
        MomentumEncoder(Tiny().bfloat16(), "batch")


def test_the_cosine_schedule_has_the_bits_of_the_earlier_trainer():
    """It computed pi * step / steps; the weight of the average is a float32."""
    start = 0.99
    for steps in (1, 2, 7, 312, 468, 1000):
        for step in range(steps):
            rise = (1 - math.cos(math.pi * step / steps)) / 2
            earlier = start + (1 - start) * rise
            now = momentum_at(step / steps, start, "cosine")
            assert np.float32(1 - now) == np.float32(1 - earlier)
    assert momentum_at(0.7, start, "constant") == start
    assert momentum_at(0.0, start, "cosine") == start
