"""What a run says before and while it trains: estimates, options without effect, tasks at chance."""

import logging
from types import SimpleNamespace

import pytest
import torch

import dermssl
from dermssl import DermsslError
from dermssl.devices import out_of_memory_named
from dermssl.pretraining.config import make_config
from dermssl.pretraining.notices import FIRST_LOWERED, Forecast, Watch, say_unused
from dermssl.pretraining.optimizer import create_scheduler, scaled_lr


def trainer(**more):
    config = make_config(epochs=more.pop("epochs", 200))
    loader = type("L", (), {"batch_size": 128, "images": range(10_015), "__len__": lambda self: 78})()
    return SimpleNamespace(config=config, loader=loader, step=0, device=torch.device("cpu"), epoch=1, **more)


def resolved(epochs: int = 200, image_size: int = 224):
    return SimpleNamespace(steps=78 * epochs, batch_size=128, image_size=image_size, images=10_015, device="cpu")


def test_a_run_of_days_says_so_and_what_makes_it_an_afternoon():
    line = Forecast(trainer(), resolved()).line(10.0)
    assert line.startswith("this will take about 43 hours on this CPU (12.8 images/s); ")
    assert "--image-size 224" not in line
    assert "takes an afternoon" in line
    options = dict(zip(*[iter(line.split("; ")[1].split(" takes")[0].replace("--", "").split())] * 2, strict=True))
    size, epochs = int(options.get("image-size", 224)), int(options["epochs"])
    assert 10.0 * 78 * epochs * (size / 224) ** 2 <= 4 * 3600


def test_a_run_of_an_afternoon_is_not_told_how_to_become_one():
    line = Forecast(trainer(), resolved(image_size=64)).line(0.7)
    assert line == "this will take about 3 hours on this CPU (183 images/s)"


def test_a_short_run_has_no_estimate():
    assert Forecast(trainer(epochs=1), resolved(1)).line(10.0) is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"eval_every": 2}, "--eval-every has no effect: no --eval-data"),
        ({"method": "simclr", "momentum_schedule": "cosine"}, "--momentum-schedule has no effect"),
        (
            {"rotation_weight": 0, "rotation_activation": "none"},
            "--rotation-activation has no effect: --rotation-weight 0",
        ),
        ({"sync_bn": True}, "--sync-bn has no effect: one process only"),
        ({"limit": 500}, "--limit has no effect: 50 images in all"),
        ({"sched": "step", "epochs": 89}, "--sched has no effect: timm's step lowers the rate after 90 epochs"),
        ({"sched": "multistep", "epochs": 20}, "--sched has no effect: timm's multistep lowers the rate after 90"),
    ],
)
def test_options_without_effect_say_so(options, told, caplog):
    say_unused(make_config(**options), 50)
    assert told in caplog.text
    caplog.clear()
    say_unused(make_config(), 50)
    assert not caplog.text


@pytest.mark.parametrize(("sched", "first"), FIRST_LOWERED.items())
def test_the_schedules_of_timm_that_wait_are_those_that_are_said(sched, first):
    for epochs, lowered in ((first - 1, False), (first + 1, True)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = create_scheduler(make_config(sched=sched, epochs=epochs), optimizer, 0, batches=2)
        scheduler.step_update(2 * epochs - 1)  # before the last step
        assert (optimizer.param_groups[0]["lr"] < 1) == lowered


def test_the_rate_is_scaled_linearly_for_sgd_and_by_the_root_for_adaptive_optimizers(caplog):
    caplog.set_level(logging.INFO, "dermssl")
    assert scaled_lr(make_config(), 4096) == pytest.approx(0.06 * 32)
    assert scaled_lr(make_config(opt="lars"), 4096) == pytest.approx(0.06 * 32)
    assert "linearly" in caplog.text
    assert scaled_lr(make_config(recipe="short"), 4096) == pytest.approx(1e-3 * 32**0.5)
    assert "square root" in caplog.text
    assert scaled_lr(make_config(recipe="short"), 128) == 1e-3


def test_a_short_run_at_chance_is_not_told_to_take_the_recipe_that_it_has(caplog):
    given = trainer(task=SimpleNamespace(chance_loss=lambda: None))
    given.config = make_config(recipe="short", epochs=50)
    Watch(given, resolved()).after_epoch({"epoch": 50, "loss": 1.0, "rotation_accuracy": 0.25})
    assert "Try more epochs" in caplog.text
    assert "--recipe" not in caplog.text


@pytest.mark.parametrize(("accuracy", "warned"), [(0.25, True), (0.29, False)])
def test_a_rotation_task_at_chance_is_said(accuracy, warned, caplog):
    chance = SimpleNamespace(chance_loss=lambda: None)
    Watch(trainer(task=chance), resolved()).after_epoch({"epoch": 50, "loss": 1.0, "rotation_accuracy": accuracy})
    assert ("the rotation task is at chance" in caplog.text) == warned


def test_features_that_are_all_the_same_are_said(images, tiny, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("dermssl.pretraining.notices.extract_features", lambda *_, **__: torch.ones(8, 4).numpy())
    dermssl.pretrain(images, tmp_path / "run", **{**tiny, "epochs": 2})
    assert "the features have collapsed" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_names_a_batch_and_a_size(error):
    message = r"out of memory on cpu at a batch of 128 images of 224 px; try --batch-size 64 or --image-size 128"
    with pytest.raises(DermsslError, match=message), out_of_memory_named("cpu", 128, 224):
        raise error
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_named("cpu", 128, 224):
        raise RuntimeError("shapes")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2**32}, "--seed"),
        ({"seed": 2**64}, "--seed"),
        ({"lr": 1e300}, "--lr"),
        ({"epochs": 10**18}, "--epochs"),
        ({"opt": "adahessian"}, "--opt adahessian: needs second derivatives"),
        ({"opt": "fusedadam"}, "--opt fusedadam: cannot be made: CUDA required"),
        ({"backbone": "test_resnet.x"}, "--backbone test_resnet.x"),
        ({"device": "mps"}, "--device mps"),
        ({"device": "xla"}, "--device xla"),
        ({"device": "meta"}, "--device meta"),
    ],
)
def test_what_torch_does_not_take_is_refused_in_the_options_own_words(images, tiny, tmp_path, options, message):
    with pytest.raises(DermsslError, match=message):
        dermssl.pretrain(images, tmp_path / "run", **{**tiny, **options})


@pytest.mark.parametrize("places", [("", "run"), ("images", " ")])
def test_an_empty_place_is_refused(places, tiny):
    with pytest.raises(DermsslError, match="must not be empty"):
        dermssl.pretrain(*places, **tiny)
