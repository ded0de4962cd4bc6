"""A tiny data set and the smallest run on it."""

from pathlib import Path
from typing import Any

import pytest

from dermssl.data.synthetic import write_synthetic

TINY: dict[str, Any] = {
    "backbone": "resnet10t",
    "image_size": 32,
    "batch_size": 16,
    "queue_size": 32,
    "epochs": 3,
    "device": "cpu",
    "workers": 1,
}


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """50 synthetic images: three batches of 16 an epoch."""
    return Path(write_synthetic(tmp_path_factory.mktemp("synthetic"), images=50, size=48, seed=0))


@pytest.fixture
def tiny() -> dict[str, Any]:
    return dict(TINY)
