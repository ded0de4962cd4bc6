"""(a) The tests marked ``gpu``, and what a step takes: as it is, compiled and as a CUDA graph, against its floor.

    bash tests/benchmarks/gpu/call.sh step.py [--minutes 9]

A row's "bare" step is the network's forward and backward on views that are there: what is left of a step is outside
the network. The floor counts every convolution and matrix product of the bare step by its operations (torch's own
counts) over the rate of a large product here, and by its bytes (inputs and weights read once, output written once)
over the bandwidth of a large copy here, and adds up the larger of the two: all else would have to cost nothing.
"""

import gc
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from page import extrapolated, step_table
from pretrain_throughput import bare_step, end_to_end, make_trainer
from sitting import Call, Cells
from tape import Tape
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from waits import Waits

from dermssl.pretraining.graphs import WARM, CudaGraph
from dermssl.pretraining.trainer import Trainer

TESTS = Path(__file__).parents[2]
COUNTED = 10  # steps in which the waits for the device are counted


def gpu_tests(seconds: float) -> Cells:
    """Run the tests marked ``gpu``."""
    files = [str(file) for file in sorted(TESTS.rglob("test_*.py")) if "mark.gpu\n" in file.read_text(encoding="utf-8")]
    results = Path(os.environ["SITTING"]) / "gpu.xml"
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={results}", *files]
    done = subprocess.run(command, cwd=TESTS.parent, timeout=seconds, capture_output=True, text=True)
    print(done.stdout[-4000:], done.stderr[-2000:])
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ElementTree.parse(results).iter("testsuite"):
        counts = {name: count + int(suite.get(name, 0)) for name, count in counts.items()}
    if counts["failures"] or counts["errors"] or not counts["tests"]:
        raise RuntimeError(f"pytest -m gpu: {counts}; its output is above")
    return {"passed": counts["tests"] - counts["skipped"], "skipped": counts["skipped"]}


def seconds_of(work: Callable[[], Any], device: torch.device, repeats: int = 10) -> float:
    """The median of repeats that are timed one by one, after three that are not."""
    times = []
    for number in range(3 + repeats):
        synchronize(device)
        started = time.perf_counter()
        work()
        synchronize(device)
        if number >= 3:
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def ceilings(device: torch.device) -> Cells:
    """The rate of a matrix product in bf16, in operations per second, and the bandwidth, in bytes per second."""
    edge, count = (8192, 2**30) if device.type == "cuda" else (256, 2**20)
    a, b = (torch.randn(edge, edge, device=device, dtype=torch.bfloat16) for _ in range(2))
    rate = 2 * edge**3 / seconds_of(lambda: a @ b, device)
    source = torch.randint(0, 255, (4 * count,), dtype=torch.uint8, device=device)
    place = torch.empty_like(source)
    return {
        "operations_per_second": rate,
        "bytes_per_second": 8 * count / seconds_of(lambda: place.copy_(source), device),
    }


class Floor(TorchDispatchMode):
    """Counts the convolutions and matrix products in its body."""

    def __init__(self, ceiling: Cells) -> None:
        super().__init__()
        self.ceiling = ceiling
        self.operations, self.bytes, self.seconds = 0, 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            operations = count(*args, **(kwargs or {}), out_val=result)
            tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)]
            moved = sum(t.numel() * t.element_size() for t in tensors)
            self.operations, self.bytes = self.operations + operations, self.bytes + moved
            rate, bandwidth = self.ceiling["operations_per_second"], self.ceiling["bytes_per_second"]
            self.seconds += max(operations / rate, moved / bandwidth)
        return result


def floor(bare: Callable[[int], None], ceiling: Cells, batch: int) -> Cells:
    """What no bare step of a batch can be faster than."""
    with Floor(ceiling) as counted:
        bare(1)
    return {
        "images_per_second": batch / counted.seconds,
        "milliseconds": 1e3 * counted.seconds,
        "milliseconds_of_arithmetic": 1e3 * counted.operations / ceiling["operations_per_second"],
        "milliseconds_of_bandwidth": 1e3 * counted.bytes / ceiling["bytes_per_second"],
        "operations": counted.operations,
        "bytes": counted.bytes,
    }


def speed(run: Callable[[int], None], trainer: Trainer, call: Call) -> Cells:
    """Images per second of so many steps, in rounds, and the memory of the card at its peak."""
    steps, rounds, warm = (3, 2, WARM + 2) if call.tiny else (24, 3, WARM + 9)
    device = trainer.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    run(warm)
    times = []
    for _ in range(rounds):
        synchronize(device)
        started = time.perf_counter()
        run(steps)
        synchronize(device)
        times.append((time.perf_counter() - started) / steps)
    batch = trainer.loader.batch_size
    return {
        "images_per_second": batch / statistics.median(times),
        "slowest": batch / max(times),
        "fastest": batch / min(times),
        "milliseconds": 1e3 * statistics.median(times),
        "memory": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def waits(trainer: Trainer) -> Cells:
    """How often the host waits for the device within steps: on CUDA torch tells, on the CPU the tests' oracle."""
    batches = [batch for batch, _ in zip(trainer.loader.epoch(0), range(COUNTED), strict=False)]
    synchronize(trainer.device)
    if trainer.device.type == "cpu":
        with Waits() as seen:
            for batch in batches:
                trainer._train_step(*batch)
        return {"waits": len(seen.seen), "in_steps": len(batches)}
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for batch in batches:
                trainer._train_step(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = [f"{w.filename}:{w.lineno}" for w in said if "synchronizing" in str(w.message)]
    return {"waits": len(found), "in_steps": len(batches), "where": sorted(set(found))}


def replayed(bare: Callable[[int], None], device: torch.device) -> Callable[[int], None]:
    """The bare step as a CUDA graph."""
    graph = CudaGraph(device)
    with graph.warming():
        bare(3)
    graph.capture(lambda: bare(1), [])

    def run(steps: int) -> None:
        for _ in range(steps):
            graph.replay()

    return run


def measure_size(call: Call, size: int, ceiling: Cells, compile: str) -> None:
    """The rows of an edge in pixels, compiled or not."""
    kind = "eager" if compile == "no" else "compiled"
    trainer = make_trainer(str(call.images), image_size=size, compile=compile, **call.network)
    trainer.captured = None  # the loop captures small sizes by itself; here each is measured both ways
    trainer.task.train()
    bare, batch = bare_step(trainer), trainer.loader.batch_size
    if compile == "no" and ceiling.get("bytes_per_second"):
        call.measure(f"{size} px, floor", lambda: floor(bare, ceiling, batch))
    call.measure(f"{size} px, {kind}, bare", lambda: speed(bare, trainer, call), needs=10)

    def steps(count: int) -> None:
        end_to_end(trainer, count)

    call.measure(f"{size} px, {kind}", lambda: {**speed(steps, trainer, call), **waits(trainer)}, needs=10)
    if call.tiny:
        for group in trainer.optimizer.param_groups:
            group["fused"], group["foreach"] = True, None  # as on a card

    def captured() -> Cells:
        trainer.capture(Tape() if call.tiny else CudaGraph(trainer.device))
        found = speed(steps, trainer, call)
        if not trainer.captured.active:
            raise RuntimeError("the step was not replayed; the line above says why")
        return {**found, **waits(trainer)}

    call.measure(f"{size} px, {kind}, replayed", captured, needs=10)
    if not call.tiny:
        run = lambda: speed(replayed(bare, trainer.device), trainer, call)  # noqa: E731
        call.measure(f"{size} px, {kind}, bare, replayed", run, needs=10)


def main() -> None:
    call = Call("step", __doc__, minutes=9)
    device = call.device
    ceiling = call.measure("ceilings", lambda: ceilings(device))
    call.measure("tests", lambda: gpu_tests(max(30.0, call.left() / 2)))
    for size in (32,) if call.tiny else (224, 128, 64):
        for compile in ("no", "yes"):
            # a failure to build is a row, too
            name = f"{size} px, {'eager' if compile == 'no' else 'compiled'}, built"
            call.measure(name, lambda s=size, c=compile: measure_size(call, s, ceiling, c) or {}, needs=60)
            gc.collect()
            torch._dynamo.reset()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    call.finish(step_table({"rows": call.rows}), extrapolated(call.rows))


if __name__ == "__main__":
    main()
