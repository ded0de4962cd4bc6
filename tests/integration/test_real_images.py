"""The main job on real dermoscopy images, where they are at hand: pretrain, evaluate, load in plain timm."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from dermssl.cli import group

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
IMAGES = 240


@pytest.fixture(scope="module")
def ham10000(real_data, tmp_path_factory) -> Path:
    """The first images of the download, in its own layout, with the whole metadata table."""
    folder = tmp_path_factory.mktemp("real")
    with tarfile.open(real_data / "ham10000_256.tar") as archive:
        taken = 0
        for member in archive:
            is_image = member.name.endswith(".jpg")
            if is_image and taken >= IMAGES:
                continue
            taken += is_image
            archive.extract(member, folder, filter="data")
    return folder / "ham10000_256"


def dermssl(*args: object) -> dict:
    """What a command with ``--json`` prints."""
    done = CliRunner().invoke(group, [str(arg) for arg in args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_pretrain_evaluate_and_load(ham10000, tmp_path):
    run = tmp_path / "run"
    options = ["--recipe", "short", "--image-size", 48, "--epochs", 2, "--batch-size", 32, "--queue-size", 128]
    trained = dermssl("pretrain", ham10000, "--output", run, *options, "--json")
    assert trained["metrics"]["epoch"] == 2
    config = json.loads((run / "config.json").read_text())
    assert config["data"]["layout"] == "ham10000"
    assert config["data"]["images"] == IMAGES
    assert config["data"]["problems"] >= 10_015 - IMAGES, "rows without a file are counted"

    csv = tmp_path / "predictions.csv"
    report = dermssl("eval-knn", run, ham10000, "--k", 20, "--folds", 3, "--predictions", csv, "--json")
    assert 0 < report["metrics"]["accuracy"] <= 1
    assert report["majority_accuracy"] > 0.3
    assert len(report["folds"]) == 3
    lines = csv.read_text().splitlines()
    assert lines[0].startswith("image,group,fold,label,prediction,")
    assert len(lines) == IMAGES + 1
    folds_of = {}
    for line in lines[1:]:
        _, lesion, fold, *_ = line.split(",")
        assert folds_of.setdefault(lesion, fold) == fold, f"lesion {lesion} is in two folds"

    code = (
        "import timm, sys; m = timm.create_model('local-dir:' + sys.argv[1], pretrained=True, num_classes=7); "
        "assert 'dermssl' not in sys.modules; print(*timm.data.resolve_model_data_config(m)['input_size'])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code, str(run / "backbone")], capture_output=True, text=True, check=True, timeout=120
    )
    assert loaded.stdout.strip() == "3 48 48"
