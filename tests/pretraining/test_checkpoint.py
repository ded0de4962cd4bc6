"""Checkpoints: whole, sealed, of their own run; the one before is kept and used; nothing in them is not finite."""

import errno
import hashlib
import io
import logging
import math
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import dermssl
from dermssl import DermsslError
from dermssl.pretraining.checkpoint import SEAL, DamagedCheckpoint, load_checkpoint, save_checkpoint
from dermssl.pretraining.finite import not_finite
from dermssl.pretraining.loop import Interrupted
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.pretraining.trainer import Trainer

OPTIONS: dict[str, Any] = {
    "backbone": "test_efficientnet",
    "image_size": 32,
    "batch_size": 16,
    "queue_size": 32,
    "epochs": 2,
    "device": "cpu",
    "precision": "fp32",
    "workers": 1,
    "checkpoint_every": 0,
}


def stop_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    plain_step = Trainer._train_step

    def step(trainer, *batch):
        scalars = plain_step(trainer, *batch)
        if trainer.step == steps:
            signal.raise_signal(signal.SIGTERM)
        return scalars

    patch.setattr(Trainer, "_train_step", step)


@pytest.fixture(scope="module")
def made(images, tmp_path_factory) -> Path:
    """A run that was stopped after four of six steps; its two checkpoints are of steps 3 and 4."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Interrupted):
            dermssl.pretrain(images, run, **OPTIONS)
    return run


@pytest.fixture(scope="module")
def unbroken(images, tmp_path_factory) -> dict[str, torch.Tensor]:
    return dermssl.pretrain(images, tmp_path_factory.mktemp("unbroken") / "run", **OPTIONS).backbone.state_dict()


@pytest.fixture
def stopped(made, tmp_path) -> RunDirectory:
    return RunDirectory(shutil.copytree(made, tmp_path / "run"))


def without(*names: str) -> Callable[[Path], None]:
    return rewritten(lambda state: [state.pop(name) for name in names])


def rewritten(change: Callable[[dict], Any], sealed: bool = True) -> Callable[[Path], None]:
    """Damage that its seal does not show."""

    def damage(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        change(state)
        if sealed:
            save_checkpoint(RunDirectory(path.parent / "other"), state)
            os.replace(path.parent / "other" / "checkpoint.pt", path)
        else:
            torch.save(state, path)

    return damage


def put(*keys: Any, value: Any) -> Callable[[dict], None]:
    def change(state: dict) -> None:
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return change


def replaced_by(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def flipped(where: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(where * (len(data) - 1))] ^= 1
        path.write_bytes(data)

    return damage


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # its path may be too long for a socket
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


STEM = "trainable_module.backbone.conv_stem.weight"
DAMAGE: dict[str, Callable[[Path], Any]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"P"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "last byte missing": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "seal missing": lambda path: path.write_bytes(path.read_bytes()[: -len(SEAL) - 64]),
    "text": lambda path: path.write_text("hello"),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    **{f"byte flipped at {where:.0%}": flipped(where) for where in (0, 0.01, 0.3, 0.7, 0.99, 1)},
    "folder": replaced_by(Path.mkdir),
    "FIFO": replaced_by(os.mkfifo),
    "socket": replaced_by(a_socket),
    "pickle of code": lambda path: path.write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR."),
    "a list": lambda path: torch.save([1, 2], path),
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "nothing in it": lambda path: torch.save({}, path),
    "no step": without("step"),
    "no optimizer": without("optimizer"),
    "no queue": without("task_state"),
    "step of text": rewritten(put("step", value="4")),
    "step below 0": rewritten(put("step", value=-1)),
    "step beyond the end": rewritten(put("step", value=7)),
    "NaN in the weights": rewritten(lambda state: next(iter(state["state_dict"].values())).fill_(math.nan)),
    "infinity in the optimizer": rewritten(
        lambda state: state["optimizer"]["state"][0]["momentum_buffer"].fill_(math.inf)
    ),
    "optimizer of other shapes": rewritten(put("optimizer", "state", 0, "momentum_buffer", value=torch.zeros(3))),
    "optimizer of one group": rewritten(lambda state: state["optimizer"]["param_groups"].pop()),
    "weight decay of text": rewritten(put("optimizer", "param_groups", 0, "weight_decay", value="much")),
    "weights of other shapes": rewritten(
        put("state_dict", "trainable_module.backbone.conv_stem.weight", value=torch.zeros(2))
    ),
    "queue of another size": rewritten(put("task_state", "queue", "keys", value=torch.zeros(4, 4))),
    "short random state": rewritten(put("torch_rng", value=torch.zeros(3, dtype=torch.uint8))),
    "totals of text": rewritten(put("totals", value={"loss": "x"})),
    "run of text": rewritten(put("run", value="mine")),
    "written by torch.save": rewritten(lambda state: None, sealed=False),
}
# One of each way in which it is found: by its file, seal, pickle, shape of the state, values, tensors, or owner.
QUICK = {
    "missing",
    "empty",
    "byte flipped at 30%",
    "folder",
    "pickle of code",
    "a list",
    "no queue",
    "step of text",
    "NaN in the weights",
    "weights of other shapes",
    "run of text",
    "written by torch.save",
}
KINDS = [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in DAMAGE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(stopped, images, unbroken, kind, caplog):
    DAMAGE[kind](stopped.checkpoint)
    with caplog.at_level(logging.INFO, "dermssl"):
        result = dermssl.pretrain(images, stopped.path, **OPTIONS)
    assert "checkpoint.pt" in caplog.text
    assert "continuing from the checkpoint before it" in caplog.text
    assert "resuming at step 3 of 6" in caplog.text
    assert stopped.checkpoint.with_name("checkpoint.damaged.pt").exists() == (kind != "missing")
    for name, tensor in result.backbone.state_dict().items():
        assert torch.equal(tensor, unbroken[name]), name


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_checkpoint_that_would_run_code_runs_none(stopped, images, tmp_path, caplog):
    """Its seal is right: whoever writes such a file can write that, too."""
    state = torch.load(stopped.checkpoint, weights_only=True)
    archive = io.BytesIO()
    torch.save({**state, "more": Hostile(tmp_path / "mark")}, archive)
    digest = hashlib.sha256(archive.getvalue()).hexdigest().encode()
    stopped.checkpoint.write_bytes(archive.getvalue() + SEAL + digest)
    dermssl.pretrain(images, stopped.path, **OPTIONS)
    assert "continuing from the checkpoint before it" in caplog.text
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_two_damaged_checkpoints_are_one_error(stopped, images, kind):
    stopped.previous.unlink()
    if kind == "missing":
        stopped.checkpoint.rename(stopped.previous)
        DAMAGE["empty"](stopped.previous)
    else:
        DAMAGE[kind](stopped.checkpoint)
    with pytest.raises(DermsslError, match=r"checkpoint.*pt .*--no-resume"):
        dermssl.pretrain(images, stopped.path, **OPTIONS)


@pytest.mark.parametrize(
    ("other", "told"),
    [({"seed": 1}, r"--seed 1 \(now 0\)"), ({"method": "moco"}, r"--method moco"), ({"lr": 0.1}, r"--lr 0.1")],
)
def test_a_checkpoint_of_another_run_is_refused(stopped, images, tmp_path, monkeypatch, other, told):
    stop_after(monkeypatch, 2)
    with pytest.raises(Interrupted):
        dermssl.pretrain(images, tmp_path / "other", **{**OPTIONS, **other})
    monkeypatch.undo()
    shutil.copyfile(tmp_path / "other" / "checkpoint.pt", stopped.checkpoint)
    with pytest.raises(DermsslError, match=rf"checkpoint.pt belongs to another run: .*{told}"):
        dermssl.pretrain(images, stopped.path, **OPTIONS)
    assert stopped.checkpoint.exists()


def test_a_kill_between_two_renames_loses_nothing(stopped, images, unbroken):
    os.replace(stopped.checkpoint, stopped.previous)
    result = dermssl.pretrain(images, stopped.path, **OPTIONS)
    assert all(torch.equal(tensor, unbroken[name]) for name, tensor in result.backbone.state_dict().items())


def test_a_full_disk_leaves_the_last_checkpoint_and_the_same_command_goes_on(stopped, images, unbroken, monkeypatch):
    before = stopped.checkpoint.read_bytes()
    plain = dermssl.pretraining.checkpoint._Sealing.write

    def full(sealing, data):
        if sealing.file.tell() > 5000:
            sealing.failure = OSError(errno.ENOSPC, "No space left on device")
            raise sealing.failure
        return plain(sealing, data)

    with monkeypatch.context() as patch:
        patch.setattr("dermssl.pretraining.checkpoint._Sealing.write", full)
        with pytest.raises(DermsslError, match=r"checkpoint.pt: No space left on device \(it takes [\d.]+ MB, and"):
            dermssl.pretrain(images, stopped.path, **OPTIONS)
    assert stopped.checkpoint.read_bytes() == before
    assert not list(stopped.path.glob(".*.part"))
    result = dermssl.pretrain(images, stopped.path, **OPTIONS)
    assert all(torch.equal(tensor, unbroken[name]) for name, tensor in result.backbone.state_dict().items())


@pytest.mark.parametrize(
    "name", ["checkpoint.pt", "checkpoint.previous.pt", ".lock", "log.txt", "config.json", "backbone"]
)
def test_no_link_in_a_run_is_followed(stopped, images, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    target = outside / "file"
    target.write_text("private")
    link = stopped.path / name
    shutil.rmtree(link) if link.is_dir() else link.unlink()
    link.symlink_to(outside if name == "backbone" else target)
    with pytest.raises(DermsslError, match=f"{name} is a link"):
        dermssl.pretrain(images, stopped.path, **OPTIONS)
    assert target.read_text() == "private"
    assert list(outside.iterdir()) == [target]


def test_a_resume_on_another_kind_of_device_says_that_it_is_not_to_the_bit(stopped, images, caplog):
    def of_a_gpu(state):
        state["cuda_rng"] = torch.zeros(16, dtype=torch.uint8)
        state["augmentation_rng"] = torch.zeros(16, dtype=torch.uint8)
        state["optimizer"]["param_groups"][0]["fused"] = True

    rewritten(of_a_gpu)(stopped.checkpoint)
    finals = []
    for name in ("one", "two"):
        run = shutil.copytree(stopped.path, stopped.path.with_name(name))
        finals.append(dermssl.pretrain(images, run, **OPTIONS).backbone.state_dict())
    assert "another kind of device" in caplog.text
    assert all(torch.equal(finals[0][name], finals[1][name]) for name in finals[0]), "seed and step decide"


def test_gradients_that_are_not_finite_are_never_saved(images, tmp_path, monkeypatch):
    """A finite loss, a gradient that is not, and a signal before the next loss is read."""
    plain_step = Trainer._train_step

    def step(trainer, *batch):
        if trainer.step == 3:
            parameter = next(trainer.task.backbone.parameters())
            handle = parameter.register_hook(lambda gradient: gradient * math.inf)
            scalars = plain_step(trainer, *batch)
            handle.remove()
            signal.raise_signal(signal.SIGTERM)
            return scalars
        return plain_step(trainer, *batch)

    monkeypatch.setattr(Trainer, "_train_step", step)
    message = r"not finite \(.*at step 4 \(epoch 2\), where the learning rate was .*checkpoint of step 3 is kept.*--lr"
    with pytest.raises(DermsslError, match=message):
        dermssl.pretrain(images, tmp_path / "run", **OPTIONS)
    state = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert state["step"] == 3
    assert not not_finite(state)
    assert not (tmp_path / "run" / "backbone").exists()


def test_weights_that_diverge_in_the_last_update_are_no_success(images, tmp_path):
    with pytest.raises(DermsslError, match=r"not finite.* at step 3 \(epoch 1\).*no checkpoint had been written"):
        dermssl.pretrain(
            images, tmp_path / "run", **{**OPTIONS, "lr": 1e9, "epochs": 1, "checkpoint_every": 100, "warmup_epochs": 0}
        )
    assert not (tmp_path / "run" / "backbone").exists()


def test_what_is_not_finite_is_named():
    state = {
        "a": [torch.ones(2), {"b": torch.tensor([1.0, math.nan])}],
        "c": torch.tensor(3),
        "d": "x",
        "e": torch.ones(0),
    }
    assert not_finite(state) == ["a/1/b"]
    assert not_finite({"huge": torch.full((9,), 3e38)}) == []


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("dermssl.pretraining.checkpoint.open_regular", refuse)
    with pytest.raises(DermsslError, match="Permission denied; give yourself permission") as told:
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not isinstance(told.value, DamagedCheckpoint)
