"""A step of the trainer: it never waits for its device, and fp16 scales its loss."""

import shutil
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import dermssl
from dermssl import DermsslError
from dermssl.data.loader import Loader
from dermssl.data.prepare import cached
from dermssl.methods.registry import METHODS
from dermssl.pretraining.build import build_trainer, starting_backbone
from dermssl.pretraining.checkpoint import load_checkpoint
from dermssl.pretraining.config import make_config
from dermssl.pretraining.decided import resolve

CPU = torch.device("cpu")

# What waits for a device, or copies from the host, if the tensors are on one.
WAITING = {
    torch.ops.aten._local_scalar_dense.default,  # .item(), bool(), float()
    torch.ops.aten.nonzero.default,
    torch.ops.aten.lift_fresh.default,  # torch.tensor(...), new_tensor(...): a constant of the host
    torch.ops.aten.masked_select.default,
    torch.ops.aten.unique_consecutive.default,
    torch.ops.aten._unique2.default,
    torch.ops.aten.is_nonzero.default,
    torch.ops.aten.equal.default,
}


class Waits(TorchDispatchMode):
    """Lists the calls in its body that would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in WAITING:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def make(images, options, dtype=torch.float32):
    config = make_config(**options)
    backbone = starting_backbone(config)
    loader = Loader(cached(images, size=48, progress=False).images, config.batch_size, seed=0, device=CPU)
    return build_trainer(config, resolve(config, loader, backbone, dtype), backbone, loader, dtype)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_waits_for_nothing(images, tiny, method):
    trainer = make(images, {**tiny, "method": method, "backbone": "test_resnet"})
    trainer.task.train()
    batches = list(trainer.loader.epoch(0))
    for batch in batches[:2]:  # what is made once
        trainer._train_step(*batch)
    with Waits() as waits:
        trainer._train_step(*batches[2])

    assert waits.seen == []


def test_a_reading_is_one_transfer(images, tiny):
    trainer = make(images, tiny)
    trainer.task.train()
    scalars = trainer._train_step(*next(iter(trainer.loader.epoch(0))))
    with Waits() as waits:
        losses = trainer._read(scalars)
    assert len(waits.seen) <= 1
    assert losses.keys() == scalars.keys()


def test_fp16_scales_its_loss_and_keeps_the_scale(images, tiny, tmp_path):
    result = dermssl.pretrain(images, tmp_path / "run", **{**tiny, "precision": "fp16", "epochs": 1})
    assert result.history[-1]["loss"] == pytest.approx(
        dermssl.pretrain(images, tmp_path / "fp32", **{**tiny, "precision": "fp32", "epochs": 1}).history[-1]["loss"],
        rel=0.02,
    )
    state = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert state["scaler"]["scale"] > 1
    assert state["scaler"]["_growth_tracker"] >= 1


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_is_the_eager_one_within_the_last_digits(images, tiny, tmp_path):
    tiny |= {"backbone": "test_resnet", "precision": "fp32", "epochs": 1}
    eager = dermssl.pretrain(images, tmp_path / "eager", **tiny)
    compiled = dermssl.pretrain(images, tmp_path / "compiled", compile="yes", **tiny)
    assert compiled.history[-1]["loss"] == pytest.approx(eager.history[-1]["loss"], rel=1e-3)
    assert compiled.backbone.state_dict().keys() == eager.backbone.state_dict().keys()


def test_compiling_without_a_compiler_is_said(images, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DermsslError, match="--compile yes: there is no C"):
        dermssl.pretrain(images, tmp_path / "run", compile="yes", **tiny)
    assert dermssl.pretrain(images, tmp_path / "run", **{**tiny, "epochs": 1}).history
