"""(c) Weights for ``hub/``: as many epochs at 128 px as the time allows, evaluated at once, brought back in parts.

    bash tests/benchmarks/gpu/call.sh weights.py [--minutes 9]

Written to $OUT: ``weights.json`` and the parts of ``weights.tar``, which holds the run (``backbone/``, ``config.json``,
``metrics.jsonl``, ``log.txt``) and the two reports. ``parts.py join`` puts it together.
"""

import os
import signal
import tarfile
import threading
from pathlib import Path
from typing import Any

from page import weights_table
from parts import split
from pretrain_throughput import make_trainer, seconds_per_step
from sitting import Call, Cells, accuracies

import dermssl
from dermssl.pretraining.loop import Interrupted

# As tests/benchmarks/published_weights/train.sh trains on a card, with the colours of the weights in hub/.
RECIPE = {
    "recipe": "short",
    "image_size": 128,
    "lr_batch": 512,
    "rotation_weight": 0.1,
    **dict.fromkeys(("brightness", "contrast", "saturation"), 0.2),
    "hue": 0.05,
    "grayscale": 0.1,
}
KEPT = ("backbone", "config.json", "metrics.jsonl", "log.txt")
LATE = 10.0  # seconds between the time that a training has and the signal that ends it


def options_of(call: Call, **more: Any) -> dict[str, Any]:
    """Of a pretraining of the sitting."""
    return {**RECIPE, **call.network, **({"image_size": 32} if call.tiny else {}), **more}


def trained(call: Call, run: Path, seconds: float, **more: Any) -> Cells:
    """Pretrain for about so many seconds, the epochs of whose schedule are measured first."""
    options = options_of(call, **more)
    trial = make_trainer(str(call.images), **options)
    step, batches, images = seconds_per_step(trial), len(trial.loader), len(trial.loader.images)
    del trial
    epochs = 1 if call.tiny else max(1, int(seconds / (step * batches)))
    print(f"{1e3 * step:.1f} ms a step, {batches} steps an epoch: {epochs} epochs", flush=True)
    late = threading.Timer(seconds + LATE, os.kill, (os.getpid(), signal.SIGTERM))
    if not call.tiny:
        late.start()
    try:
        history = dermssl.pretrain(call.images, run, epochs=epochs, **options).history
        stopped = False
    except Interrupted:  # its checkpoint and its backbone are written
        history, stopped = [], True
    finally:
        late.cancel()
    found: Cells = {"images": images, "epochs": epochs, "steps": epochs * batches, "stopped_early": stopped}
    if history:
        total = sum(epoch["seconds"] for epoch in history)
        found |= {"seconds": total, "images_per_second": epochs * batches * options["batch_size"] / total}
        found["loss"] = history[-1]["loss"]
    return found


def knn(call: Call, weights: Path | str) -> Any:
    """The report of KNN on HAM10000."""
    return dermssl.evaluate_knn(weights, call.ham, k=10 if call.tiny else 100, device=str(call.device))


def packed(call: Call, run: Path, reports: dict[str, Any]) -> Cells:
    """The run and its reports as parts that come back."""
    archive = call.work / "weights.tar"
    with tarfile.open(archive, "w") as tar:
        for name in KEPT:
            tar.add(run / name, arcname=f"weights/{name}")
        for name, report in reports.items():
            report.save(call.work / f"{name}.json")
            tar.add(call.work / f"{name}.json", arcname=f"weights/evaluations/{name}.json")
    return {"parts": [part.name for part in split(archive, call.output)], "bytes": archive.stat().st_size}


def main() -> None:
    call = Call("weights", __doc__, minutes=9)
    run, reports = call.work / "run", {}
    # beside the training: decoding, compiling twice, the evaluations, packing
    call.measure("pretraining", lambda: trained(call, run, call.left() - 150))

    def evaluated(name: str) -> Cells:
        freeze = {"freeze": True, "device": str(call.device)}
        reports[name] = knn(call, run) if name == "knn" else dermssl.finetune(run, call.ham, **freeze)
        return accuracies(reports[name])

    for name in ("knn", "frozen"):
        call.measure(name, lambda name=name: evaluated(name), needs=30)
        call.measure("parts", lambda: packed(call, run, reports))  # at once: frozen features take long
    call.finish(weights_table({"rows": call.rows}))


if __name__ == "__main__":
    main()
