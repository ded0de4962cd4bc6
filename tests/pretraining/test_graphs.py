"""A captured step, on the CPU: replays do what plain steps do, from whatever was put where the recording reads."""

import copy
import logging
from typing import Any

import pytest
import torch

import dermssl
from dermssl import DermsslError
from dermssl.data.loader import Loader
from dermssl.data.prepare import cached
from dermssl.methods.registry import METHODS
from dermssl.pretraining.build import build_trainer, starting_backbone
from dermssl.pretraining.config import make_config
from dermssl.pretraining.decided import resolve
from dermssl.pretraining.graphs import WARM, CudaGraph, _Moment, can_be_captured
from dermssl.pretraining.trainer import Trainer

from .tape import Tape

pytestmark = pytest.mark.slow  # every method is trained twice

CPU = torch.device("cpu")
STEPS = 8  # of which the last four are replays


@pytest.fixture
def options(tiny) -> dict[str, Any]:
    return {**tiny, "backbone": "test_resnet", "warmup_epochs": 1, "momentum_schedule": "cosine", "queue_size": 40}


def make(images: Any, options: dict[str, Any], dtype: torch.dtype = torch.float32) -> Trainer:
    """A trainer with a fused optimizer, as on a GPU."""
    config = make_config(**options)
    backbone = starting_backbone(config)
    loader = Loader(cached(images, size=48, progress=False).images, config.batch_size, seed=0, device=CPU)
    trainer = build_trainer(config, resolve(config, loader, backbone, dtype), backbone, loader, dtype)
    for group in trainer.optimizer.param_groups:
        group["fused"], group["foreach"] = True, None
    trainer.optimizer._step_supports_amp_scaling = True
    trainer.task.train()
    return trainer


def make_plain(*arguments: Any) -> Trainer:
    """The oracle: as ``make``, without a recording, but with the momentum in a tensor, so that it rounds the same."""
    trainer = make(*arguments)
    begin = trainer.task.begin_step

    def begin_step(progress: float) -> None:
        begin(progress)
        for name in trainer.task.varies:
            setattr(trainer.task, name, torch.tensor(float(getattr(trainer.task, name))))

    trainer.task.begin_step = begin_step
    return trainer


def train(trainer: Trainer, steps: int) -> None:
    torch.manual_seed(trainer.step)
    last = trainer.step + steps
    while trainer.step < last:
        if trainer.train_epoch(lambda: trainer.step >= last, lambda losses: None):
            trainer.finish_epoch()


def assert_same(first: Trainer, second: Trainer) -> None:
    """All that a step changes is the same, but for what rounding adds up to (a rate is float32 in a recording)."""
    assert torch.equal(first.views.generator.get_state(), second.views.generator.get_state())
    found = second._changing()
    for kind, tensors in first._changing().items():
        error = total = 0.0
        for wanted, is_ in zip(tensors, found[kind], strict=True):
            if not wanted.is_floating_point():
                assert torch.equal(wanted, is_), kind
            elif wanted.isfinite().all():
                error += float((is_.double() - wanted.double()).square().sum())
                total += float(wanted.double().square().sum())
        assert error <= 1e-6 * total, f"{kind}: {(error / max(total, 1e-30)) ** 0.5:.1e}"


@pytest.mark.parametrize("method", METHODS)
def test_replays_are_the_plain_steps(images, options, method):
    """Rate and momentum change in every step; the queue, the sums and the random numbers go on."""
    options["method"] = method
    plain, captured = make_plain(images, options), make(images, options)
    tape = Tape()
    captured.capture(tape)
    train(plain, STEPS)
    train(captured, STEPS)

    assert captured.captured is not None
    assert captured.captured.active
    assert tape.replays == STEPS - WARM
    assert_same(plain, captured)
    assert captured._read() == pytest.approx(plain._read(), rel=1e-4)


@pytest.mark.parametrize(
    "more",
    [
        {"opt": "adamw", "lr": 1e-3},
        {"key_norm": "shuffle", "batch_size": 50},
        {"key_norm": "ema"},
        {"rotation_task": "crop"},
    ],
    ids=["adamw", "shuffle", "ema", "crop"],
)
def test_replays_of_other_steps(images, options, more):
    options |= more
    plain, captured = make_plain(images, options), make(images, options)
    captured.capture(Tape())
    train(plain, STEPS)
    train(captured, STEPS)
    assert captured.captured.active
    assert_same(plain, captured)


def test_fp16_replays_scale_their_loss(images, options):
    plain, captured = (maker(images, options, torch.float16) for maker in (make_plain, make))
    captured.capture(Tape())
    for trainer in (plain, captured):
        train(trainer, STEPS)
    assert captured.captured.active
    assert captured.scaler.state_dict() == plain.scaler.state_dict()
    assert captured._read() == pytest.approx(plain._read(), rel=1e-2)


def test_a_checkpoint_between_replays_goes_on_anywhere(images, options):
    """Its state is plain numbers and tensors, from which a plain and a captured trainer go on alike."""
    captured = make(images, options)
    captured.capture(Tape())
    train(captured, STEPS - 2)
    checkpoint = captured.state_dict()
    assert all(isinstance(group["lr"], float) for group in checkpoint["optimizer"]["param_groups"])
    checkpoint = copy.deepcopy(checkpoint)
    plain, again = make_plain(images, options), make(images, options)
    again.capture(Tape())
    for trainer in (captured, plain, again):
        if trainer is not captured:
            trainer.load_state_dict(copy.deepcopy(checkpoint))
        train(trainer, 3)
    assert_same(plain, captured)
    assert_same(plain, again)


def test_a_batch_that_moves_is_copied_to_its_place(images, options):
    """The loader's tensors are others in every step, and are free once the step was started."""
    trainer = make(images, options)
    trainer.capture(Tape())
    batches = [batch for epoch in range(3) for batch in trainer.loader.epoch(epoch)]
    for pixels, index in batches[: WARM + 2]:
        trainer._train_step(pixels, index)
        pixels.zero_()
    owners = trainer.task.queue.owners
    assert set(batches[WARM + 1][1].tolist()) <= set(owners.tolist())


def test_what_cannot_be_captured_is_said_once_and_trained_plainly(images, options, caplog):
    class Refusing(Tape):
        forgotten = False

        def forget(self):
            self.forgotten = True

        def capture(self, work, generators):
            work()
            try:
                raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore of it")
            finally:
                raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    plain, captured = make_plain(images, options), make(images, options)
    captured.capture(Refusing())
    with caplog.at_level(logging.WARNING, logger="dermssl"):
        train(plain, STEPS)
        train(captured, STEPS)
    said = [r.getMessage() for r in caplog.records if "CUDA graph" in r.getMessage()]
    assert len(said) == 1
    assert said[0].endswith("operation not permitted when stream is capturing"), "the first error, not what it led to"
    assert captured.captured.recorder.forgotten, "its memory is given back"
    assert_same(plain, captured)


def test_a_replay_that_does_something_else_is_not_used(images, options, caplog):
    class Forgetful(Tape):
        def replay(self):
            self.calls = [call for call in self.calls if "_fused_sgd_" not in str(call[0])]
            super().replay()

    plain, captured = make_plain(images, options), make(images, options)
    captured.capture(Forgetful())
    train(plain, STEPS)
    train(captured, STEPS)
    assert "its weights, optimizer are not those of the plain step" in caplog.text
    assert_same(plain, captured)


def test_a_number_that_the_task_does_not_name_ends_the_replays(images, options, caplog):
    plain, captured = make_plain(images, options), make(images, options)
    captured.capture(Tape())
    for trainer in (plain, captured):
        train(trainer, WARM + 2)
        trainer.task.rotation_weight = 0.7
        train(trainer, 2)
    assert "rotation_weight" in caplog.text
    assert not captured.captured.active
    assert_same(plain, captured)


def test_where_torch_cannot_go_on_after_a_capture_the_option_is_named(images, options, monkeypatch):
    class Broken(Tape):
        def capture(self, work, generators):
            monkeypatch.setattr(captured.captured, "update", fail)
            raise RuntimeError("capture broke off")

    def fail(*batch):
        raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")

    captured = make(images, options)
    captured.capture(Broken())
    with pytest.raises(DermsslError, match=r"capture broke off.*--compile no"):
        train(captured, STEPS)


def test_where_torch_cannot_even_go_back_the_option_is_named(images, options, monkeypatch):
    class Broken(Tape):
        def capture(self, work, generators):
            monkeypatch.setattr(_Moment, "restore", fail)
            raise RuntimeError("capture broke off")

    def fail(moment):
        raise RuntimeError("CUDA error: invalid argument")

    captured = make(images, options)
    captured.capture(Broken())
    with pytest.raises(DermsslError, match=r"capture broke off.*--compile no"):
        train(captured, STEPS)


def test_only_fused_optimizers_are_captured(images, tiny):
    assert can_be_captured(make(images, tiny).optimizer)
    trainer = make(images, {**tiny, "opt": "lars"})
    for group in trainer.optimizer.param_groups:
        del group["fused"]
    assert not can_be_captured(trainer.optimizer)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_cuda_graph_trains_as_the_plain_step(images, tiny, tmp_path, precision):
    tiny |= {"device": "cuda", "precision": precision, "epochs": 6}
    plain = dermssl.pretrain(images, tmp_path / "plain", compile="no", **tiny)
    captured = dermssl.pretrain(images, tmp_path / "captured", **tiny)
    assert "replayed as a CUDA graph" in (tmp_path / "captured" / "log.txt").read_text()
    assert captured.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_after_a_capture_that_breaks_off_a_card_trains_on(images, tiny, tmp_path, monkeypatch):
    """A step that waits for the device cannot be captured; its random numbers and its memory are free again."""
    record = CudaGraph.capture

    def waiting(self, work, generators):
        record(self, lambda: (work(), torch.zeros(1, device="cuda").item()), generators)

    monkeypatch.setattr(CudaGraph, "capture", waiting)
    tiny |= {"device": "cuda", "epochs": 6}
    result = dermssl.pretrain(images, tmp_path / "run", **tiny)
    assert "the step is not replayed as a CUDA graph" in (tmp_path / "run" / "log.txt").read_text()
    plain = dermssl.pretrain(images, tmp_path / "plain", compile="no", **tiny)
    assert result.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=0.05)
