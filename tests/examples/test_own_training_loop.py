"""The example runs as its first lines say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dermssl.data.synthetic import write_synthetic

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_training_loop.py"


@pytest.mark.slow
def test_the_example_trains_a_backbone(tmp_path):
    images = write_synthetic(tmp_path / "images", images=40, size=72)
    command = [sys.executable, str(EXAMPLE), str(images), "resnet10t", "1"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "epoch 1: {'loss_instance'" in done.stdout
    assert "conv1.0.weight" in torch.load(tmp_path / "backbone.pth", weights_only=True)
