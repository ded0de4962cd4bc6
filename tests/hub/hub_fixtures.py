"""A run directory without the training, a report, and Python in a fresh process."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

from loopback_hub import LoopbackHub

from dermssl.backbones.create import create_backbone
from dermssl.backbones.save import save_backbone
from dermssl.evaluation.metrics import METRICS
from dermssl.evaluation.report import Report
from dermssl.pretraining.config import make_config

MEAN, STD, SIZE = (0.7, 0.5, 0.4), (0.1, 0.2, 0.3), 32


def write_run(folder: Path, backbone: str = "resnet10t", layout: str = "ham10000", **data) -> Path:
    """A finished run directory, as ``pretrain`` leaves it, without the training."""
    model = create_backbone(backbone, image_size=SIZE, seed=5)
    about = {"method": "rotinstdisc"}
    save_backbone(model, folder / "backbone", mean=MEAN, std=STD, image_size=SIZE, provenance=about)
    config = {
        "config": asdict(make_config(backbone=backbone, epochs=3, image_size=SIZE, eval_data="/home/me/private/eval")),
        "resolved": {"images": 50, "steps": 9, "batch_size": 16, "image_size": SIZE, "lr": 0.0075, "precision": "bf16"},
        "data": {
            "source": "/home/me/private/photos",
            "layout": layout,
            "images": 50,
            "content_hash": "c0ffee",
            "problems": 2,
            **data,
        },
        "versions": {"dermssl": "0.1.0", "torch": "2.11"},
        "hardware": "a machine",
        "started": "2026-01-01T00:00:00+0000",
    }
    (folder / "config.json").write_text(json.dumps(config))
    lines = [
        {"epoch": e, "step": 3 * e, "loss": 4 - e / 3, "seconds": 100.0, "images_per_second": 7} for e in (1, 2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_report(file: Path, weights: str, accuracy: float = 0.725, **protocol) -> Path:
    """A report as ``eval-knn`` saves it, but for what is given of the protocol."""
    classes = ("mel", "nv")
    train = {"source": "/home/me/private/ham", "layout": "ham10000", "images": 60, "groups": 40, "content_hash": "ab"}
    figures = dict.fromkeys(METRICS, 0.5) | {"accuracy": accuracy}
    report = Report(
        kind=protocol.get("evaluation", "knn"),
        weights=weights,
        data="/home/me/private/ham",
        protocol={"evaluation": "knn", "k": 10, "split": "lesion", "folds": 5, "test": None, "seed": 0} | protocol,
        classes=classes,
        metrics=figures,
        std=dict.fromkeys(METRICS, 0.01),
        interval=dict.fromkeys(METRICS, (0.7, 0.75)),
        majority_accuracy=0.66,
        per_class={
            name: {**dict.fromkeys(("precision", "recall", "f1", "auroc"), 0.5), "support": 3} for name in classes
        },
        confusion=[[1, 2], [3, 4]],
        folds=[],
        records={"train": {**train, "classes": {"mel": 20, "nv": 40}}, "test": None},
        split={"split": "lesion"},
        notes=("3 lesions have images in both",),
    )
    assert {field.name for field in fields(report)} >= {"weights", "protocol", "metrics"}
    file.parent.mkdir(parents=True, exist_ok=True)
    written = report.save(file)
    stored = json.loads(written.read_text())  # 0.1.0 wrote paths as they were given, and no hash of the weights
    stored |= {"weights": weights, "data": report.data, "records": report.records, "protocol": report.protocol}
    del stored["weights_sha256"]
    written.write_text(json.dumps(stored))
    return written


def fresh_python(*arguments: str, hub: LoopbackHub | None = None, cache: Path, **environment: str):
    """Run Python in a new process whose Hub is ``hub`` and whose cache is ``cache``."""
    env = {**os.environ, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    env |= {"HF_ENDPOINT": hub.url} if hub else {}
    return subprocess.run(
        [sys.executable, *arguments], env={**env, **environment}, capture_output=True, text=True, check=False
    )
