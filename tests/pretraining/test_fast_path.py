"""What makes a step fast changes nothing but the last digits: bf16, channels_last, the foreach momentum update."""

from typing import Any

import pytest
import torch
from torch import nn

from dermssl.backbones.create import create_backbone
from dermssl.data.loader import Loader
from dermssl.data.prepare import cached
from dermssl.methods.momentum import MomentumEncoder
from dermssl.methods.rotinstdisc import TwoHeadEncoder
from dermssl.pretraining.build import build_trainer
from dermssl.pretraining.config import make_config
from dermssl.pretraining.decided import resolve

CPU = torch.device("cpu")


def one_step(images: Any, options: dict[str, Any], dtype: torch.dtype) -> tuple[float, torch.Tensor]:
    """Loss and all gradients, as one vector, of the first step of ``dermssl pretrain``'s loop."""
    config = make_config(**options)
    backbone = create_backbone(config.backbone, image_size=config.image_size, seed=0)
    loader = Loader(cached(images, size=48, progress=False).images, config.batch_size, seed=0, device=CPU)
    trainer = build_trainer(config, resolve(config, loader, backbone, dtype), backbone, loader, dtype)
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(config.queue_size, trainer.task.queue.keys.shape[1], generator=generator)
    trainer.task.queue.enqueue(torch.nn.functional.normalize(keys, dim=1))  # an empty queue has no instance loss
    losses: dict[str, float] = {}
    trainer.train_epoch(lambda: True, losses.update)
    parameters = trainer.task.get_trainable_module().parameters()
    return losses["loss"], torch.cat([p.grad.flatten() for p in parameters])


@pytest.mark.parametrize(
    ("precision", "loss_within", "gradients_within"),
    [
        # Only the order of sums differs.
        (torch.float32, 1e-5, 1e-3),
        # bf16 keeps 8 bits: 0.4 % a product, which adds up over the layers of the backward pass. Here the gradients are
        # 9 % apart, all parameters together, and 0.4 % off in direction; a wrong sign or scale anywhere is far beyond.
        (torch.bfloat16, 5e-3, 0.2),
    ],
    ids=["fp32", "bf16"],
)
def test_a_channels_last_step_is_the_plain_one(images, tiny, monkeypatch, precision, loss_within, gradients_within):
    options = tiny | {"image_size": 64}
    loss, gradients = one_step(images, options, precision)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "channels_last", torch.contiguous_format)
        plain_loss, plain_gradients = one_step(images, options, torch.float32)
    assert loss == pytest.approx(plain_loss, rel=loss_within)
    assert (gradients - plain_gradients).norm() < gradients_within * plain_gradients.norm()


def test_the_foreach_momentum_update_is_a_loop_over_the_parameters():
    """Equation 4, parameter by parameter, in float64, and the buffers of BatchNorm as they are in the query encoder."""
    torch.manual_seed(0)
    encoder = TwoHeadEncoder(create_backbone("test_resnet"), 16).double()
    key_encoder = MomentumEncoder(encoder, "batch")
    expected = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    for m in (0.99, 0.999, 0.0):
        disturb(encoder)
        key_encoder.update(encoder, m)
        for name, p in encoder.named_parameters():
            expected[name] = m * expected[name] + (1 - m) * p.detach()
        for name, p in key_encoder.encoder.named_parameters():
            torch.testing.assert_close(p, expected[name], rtol=1e-12, atol=1e-14)
        for key_buffer, buffer in zip(key_encoder.encoder.buffers(), encoder.buffers(), strict=True):
            assert torch.equal(key_buffer, buffer)


def disturb(encoder: nn.Module) -> None:
    with torch.no_grad():
        for tensor in [*encoder.parameters(), *encoder.buffers()]:
            tensor.add_(torch.ones_like(tensor) if tensor.dtype == torch.long else torch.rand_like(tensor))
