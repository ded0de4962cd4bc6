"""A tiny data set, the smallest run on it, and a signal in its midst."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dermssl.data.synthetic import write_synthetic
from dermssl.pretraining.trainer import Trainer

TINY: dict[str, Any] = {
    "backbone": "test_resnet",
    "image_size": 32,
    "batch_size": 16,
    "queue_size": 32,
    "epochs": 3,
    "device": "cpu",
    "workers": 1,
}


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """50 synthetic images: three batches of 16 per epoch."""
    return Path(write_synthetic(tmp_path_factory.mktemp("synthetic"), images=50, size=48, seed=0))


@pytest.fixture
def signal_after() -> Callable[..., None]:
    """A call that lets the process be asked to stop once it has made so many steps, until the patch is undone."""

    def arrange(patch: pytest.MonkeyPatch, steps: int, number: int = signal.SIGTERM) -> None:
        plain_step = Trainer._train_step

        def step_and_signal(trainer, *batch):
            scalars = plain_step(trainer, *batch)
            if trainer.step == steps:
                signal.raise_signal(number)
            return scalars

        patch.setattr(Trainer, "_train_step", step_and_signal)

    return arrange


@pytest.fixture
def tiny() -> dict[str, Any]:
    return dict(TINY)
