"""(e) HAM10000 classified in five folds grouped by lesion, fine-tuned and on frozen features: figures and time.

    bash tests/benchmarks/gpu/call.sh folds.py [--minutes 9]

By the weights that (c) left on this machine, else by random ones: then only the time means anything.
"""

import time
from pathlib import Path

from page import folds_table
from sitting import Call, Cells, accuracies

import dermssl

FOLDS = 5


def measure(call: Call, weights: Path | str, freeze: bool) -> Cells:
    """One evaluation."""
    started = time.perf_counter()
    few = {"epochs": 1} if call.tiny and not freeze else {}
    size = 32 if call.tiny else 128
    report = dermssl.finetune(
        weights, call.ham, folds=FOLDS, freeze=freeze, image_size=size, device=str(call.device), **few
    )
    seconds = time.perf_counter() - started
    found = {"weights": "random" if isinstance(weights, str) else "of (c)", "seconds": seconds, **accuracies(report)}
    if not freeze:
        protocol = report.protocol
        passes = protocol["training"]["epochs"] * sum(protocol["train_images"])
        found |= {"epochs": protocol["training"]["epochs"], "images_per_second": passes / seconds}
    return found


def main() -> None:
    call = Call("folds", __doc__, minutes=9)
    run = call.work / "run"
    weights = run if (run / "backbone").is_dir() else f"random:{call.network['backbone']}"
    call.measure("fine-tuned", lambda: measure(call, weights, freeze=False))
    call.measure("frozen", lambda: measure(call, weights, freeze=True), needs=60)
    call.finish(folds_table({"rows": call.rows}))


if __name__ == "__main__":
    main()
