"""A step of the trainer: it never waits for its device, and fp16 scales its loss."""

import logging
import shutil

import pytest
import torch
import torch._dynamo

import dermssl
from dermssl import DermsslError
from dermssl.data.loader import Loader
from dermssl.data.prepare import cached
from dermssl.methods.registry import METHODS
from dermssl.pretraining.build import build_trainer, starting_backbone
from dermssl.pretraining.checkpoint import load_checkpoint
from dermssl.pretraining.compiled import compile_step
from dermssl.pretraining.config import make_config
from dermssl.pretraining.decided import resolve

from .tape import Tape
from .waits import Waits

CPU = torch.device("cpu")


def make(images, options, dtype=torch.float32):
    config = make_config(**options)
    backbone = starting_backbone(config)
    loader = Loader(cached(images, size=48, progress=False).images, config.batch_size, seed=0, device=CPU)
    return build_trainer(config, resolve(config, loader, backbone, dtype), backbone, loader, dtype)


@pytest.mark.parametrize(
    "more",
    [
        *({"method": method} for method in METHODS),
        {"key_norm": "shuffle", "batch_size": 50},
        {"key_norm": "ema"},
        {"rotation_task": "crop"},
        {"rotation_task": "relative"},
        {"momentum_schedule": "cosine"},
        {"opt": "adamw"},
    ],
    ids=lambda more: " ".join(map(str, more.values())),
)
def test_a_step_waits_for_nothing(images, tiny, more):
    trainer = make(images, {**tiny, "backbone": "test_resnet", **more})
    for group in trainer.optimizer.param_groups:
        group["fused"], group["foreach"] = True, None  # as on CUDA
    trainer.task.train()
    batches = [batch for epoch in range(3) for batch in trainer.loader.epoch(epoch)]
    for batch in batches[:2]:  # what is made once
        trainer._train_step(*batch)
    with Waits() as waits:
        trainer._train_step(*batches[2])

    assert waits.seen == []


def test_a_reading_is_one_transfer(images, tiny):
    trainer = make(images, tiny)
    trainer.task.train()
    trainer._train_step(*next(iter(trainer.loader.epoch(0))))
    with Waits() as waits:
        losses = trainer._read()
    assert len(waits.seen) <= 1
    assert losses.keys() == set(trainer.task.logs)


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
@pytest.mark.parametrize("method", ["rotinstdisc", "pirl"])
def test_a_compiled_run_is_the_eager_one_within_the_last_digits(images, tiny, tmp_path, method):
    """Query and key encoder, and the views from bytes on: what runs on CUDA, by the CPU's inductor."""
    tiny |= {"backbone": "test_resnet", "precision": "fp32", "epochs": 1, "method": method}
    eager = dermssl.pretrain(images, tmp_path / "eager", **tiny)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = dermssl.pretrain(images, tmp_path / "compiled", compile="yes", **tiny)
    assert not torch._dynamo.utils.counters["graph_break"]
    assert compiled.history[-1]["loss"] == pytest.approx(eager.history[-1]["loss"], rel=1e-3)
    assert compiled.backbone.state_dict().keys() == eager.backbone.state_dict().keys()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_step_can_be_captured(images, tiny):
    """Both at once, as on CUDA: the recording holds the compiled programs."""
    options = {**tiny, "backbone": "test_resnet", "precision": "fp32"}
    plain, captured = make(images, options), make(images, {**options, "compile": "yes"})
    for group in captured.optimizer.param_groups:
        group["fused"], group["foreach"] = True, None
    captured.capture(Tape())
    for trainer in (plain, captured):
        torch.manual_seed(0)
        while trainer.step < 6:
            if trainer.train_epoch(lambda trainer=trainer: trainer.step >= 6, lambda losses: None):
                trainer.finish_epoch()
    assert captured._read() == pytest.approx(plain._read(), rel=1e-2)


def test_compiling_without_a_compiler_is_said(images, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DermsslError, match="--compile yes: there is no C"):
        dermssl.pretrain(images, tmp_path / "run", compile="yes", **tiny)
    assert dermssl.pretrain(images, tmp_path / "run", **{**tiny, "epochs": 1}).history


def test_where_nothing_can_be_compiled_for_a_card_a_step_is_made_as_it_is(monkeypatch, caplog):
    """Triton or its compiler is often missing, and ``auto`` is the default."""

    def no_headers(function):
        raise RuntimeError("fatal error: Python.h: No such file or directory\ncompilation terminated.")

    monkeypatch.setattr(torch, "ones", lambda *shape, **options: torch.zeros(*shape, requires_grad=True))
    monkeypatch.setattr(torch, "compile", no_headers)
    task = views = object()  # neither is touched
    with caplog.at_level(logging.INFO, logger="dermssl"):
        assert not compile_step(task, views, "auto", torch.device("cuda"), torch.bfloat16)
    assert [r.getMessage() for r in caplog.records] == [
        "nothing is compiled, which makes a step slower: fatal error: Python.h: No such file or directory"
    ]
    with pytest.raises(DermsslError, match=r"--compile yes: fatal error: Python.h: No such file or directory; mend"):
        compile_step(task, views, "yes", torch.device("cuda"), torch.bfloat16)
