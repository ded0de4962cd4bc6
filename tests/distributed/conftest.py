"""Synthetic images, their cache, and the smallest run on them."""

import sys
from pathlib import Path
from typing import Any

import pytest

from dermssl.data.prepare import prepare
from dermssl.data.synthetic import write_synthetic

sys.path.insert(0, str(Path(__file__).parent))  # the ranks import jobs.py by name


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """40 synthetic images, prepared: three batches of 12 per epoch."""
    folder = write_synthetic(tmp_path_factory.mktemp("synthetic"), images=40, size=40, seed=0)
    return prepare(folder, tmp_path_factory.mktemp("cache") / "images", size=40, workers=1, progress=False).path


@pytest.fixture
def tiny() -> dict[str, Any]:
    return {
        "backbone": "test_resnet",
        "image_size": 32,
        "batch_size": 12,
        "queue_size": 30,  # no multiple of the batch
        "epochs": 2,
        "device": "cpu",
        "precision": "fp32",
        "workers": 1,
    }
