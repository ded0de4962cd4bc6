"""A set of images and a budget, both small enough for everything."""

from pathlib import Path
from typing import Any

import pytest

from dermssl.data.synthetic import write_synthetic


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    return Path(write_synthetic(tmp_path_factory.mktemp("synthetic"), images=100, size=36, seed=0))


@pytest.fixture
def offline(monkeypatch):
    """No look for a network that is not there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The smallest budget."""
    return {
        "backbone": "test_resnet",
        "epochs": 1,
        "image_size": 32,
        "batch_size": 32,
        "limit": 70,
        "folds": 2,
        "few_labels": "frozen",
        "device": "cpu",
        "precision": "fp32",
    }
