"""The momentum encoder against plain loops."""

import pytest
import torch
from torch import nn

from dermssl.methods.momentum import SHUFFLE_GROUP, MomentumEncoder


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
