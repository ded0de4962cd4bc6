"""The script that makes the weights in hub/, cut down to seconds: trained, evaluated, exported, checked."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import timm

from dermssl.data.synthetic import write_synthetic

HERE = Path(__file__).parent
TINY = ["--backbone", "resnet10t", "--epochs", "1", "--image-size", "32", "--batch-size", "32", "--queue-size", "64"]


def run(command: list[str], folder: Path) -> str:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": programs, "FINETUNE_EPOCHS": "1", "PEERS": "moco"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_weights_are_trained_proven_and_exported(tmp_path):
    write_synthetic(tmp_path / "images", images=280, size=36)
    script = str(HERE / "train.sh")
    output = run(
        ["bash", script, "images/", "images/HAM10000_images/", "run/", "hub/resnet10t.dermssl_drawn", *TINY], tmp_path
    )
    assert "| synthetic_a |" in output
    card = (tmp_path / "hub" / "resnet10t.dermssl_drawn" / "README.md").read_text(encoding="utf-8")
    cameras = output.count("| synthetic_")
    assert cameras > 1
    assert card.count("### ") == 3 + 1 + cameras, card  # KNN, frozen and fine-tuned; few labels; cameras
    assert card.count("\n| `random:resnet10t`") == 3 + cameras
    assert card.count("\n| `moco` |") == 3
    for name in ("knn", "frozen", "finetune"):
        assert f"| {name} | moco |" in output
        assert f"| {name} | random |" in output
    twice = ["run/evaluations", "run/evaluations"]
    differences = run([sys.executable, str(HERE / "paired_differences.py"), *twice], tmp_path)
    without_seeds, count = re.subn("; seeds ([^ ]+) to \\1\\)", ")", differences)
    assert count == 3 * 2 * 3  # evaluations, other weights, metrics
    assert without_seeds in output  # the mean of the same twice is the same, and two same seeds do not vary
    assert "tested on synthetic_a\n" in card
    assert card.count("](features-in-the-plane.png)") == card.count("](mean-activation.png)") == 1
    timm.create_model(f"local-dir:{tmp_path}/hub/resnet10t.dermssl_drawn", pretrained=True, num_classes=7)


def test_interval_over_seeds_is_students():
    over_seeds = runpy.run_path(str(HERE / "paired_differences.py"))["over_seeds"]
    [(low, high)] = over_seeds([0.01, 0.02, 0.03])
    half = 4.30265 * 0.01 / 3**0.5  # t of 2 degrees of freedom at 97.5 %, from a printed table
    assert (low, high) == (pytest.approx(0.02 - half, abs=1e-6), pytest.approx(0.02 + half, abs=1e-6))
    assert over_seeds([0.01]) == []
