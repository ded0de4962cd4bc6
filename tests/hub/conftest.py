"""A small run directory, its export, and a Hub on 127.0.0.1."""

import sys
from pathlib import Path

import huggingface_hub
import pytest

from dermssl.hub.export import export

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode does not

from hub_fixtures import write_report, write_run
from loopback_hub import LoopbackHub


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("runs") / "r10")
    write_report(folder / "evaluations" / "knn.json", str(folder))
    write_report(folder / "evaluations" / "random.json", "random:resnet10t", 0.68)
    return folder


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory) -> Path:
    """The export of ``run``; not to be changed."""
    return export(run, tmp_path_factory.mktemp("exports") / "resnet10t.dermssl_ham10000")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with LoopbackHub() as server:
        yield server
