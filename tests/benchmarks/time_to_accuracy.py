"""What a user waits for: accuracy against time, ours and lightly's MoCo v2, trained in turns on the same images.

    pip install ".[compare]"
    python tests/benchmarks/time_to_accuracy.py HAM10000/ --minutes 30 --output DIR [--image-size 64] [--rows ...]

- "lightly, as documented": its transforms on the image files, a worker per core, SGD at a constant rate, float32.
- "lightly, our optimizer and colours": AdamW, warm-up and half cosine over the same time, no blur, our precision.
- "dermssl": ``dermssl pretrain --recipe short`` with as many epochs as the time allows.

Each row is a process of its own that trains for a turn and then waits for the others, since the speed of a shared
machine drifts. After each turn its backbone is evaluated by KNN in five folds grouped by lesion (`evaluate_knn`, 100
neighbours), which does not count. What counts is the time from an empty folder on: ours begins with decoding the
images. Processor time, that of a DataLoader's workers included, stands beside it: on a busy machine it is the fairer
of the two.

Written to DIR: ``time_to_accuracy.json``, ``time_to_accuracy.svg`` and a table on standard output.
"""

import argparse
import atexit
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightly_moco import LightlyMoco
from pretrain_throughput import as_trained, make_trainer, seconds_per_step

from dermssl.data.cache import Cache, source_size
from dermssl.data.prepare import cached
from dermssl.data.read import read_records
from dermssl.devices import hardware_name, resolve_device, resolve_precision
from dermssl.evaluation.knn import evaluate_knn

DOCUMENTED, LIKE_OURS, OURS = "lightly, as documented", "lightly, our optimizer and colours", "dermssl"
ROWS = (DOCUMENTED, LIKE_OURS, OURS)
QUEUE = 1024  # of --recipe short; lightly's rows have the same


class Dermssl:
    """A run of ours, whose epochs end with the time."""

    def __init__(self, data: str, seconds: float, options: dict[str, Any]) -> None:
        def made(epochs: int) -> Any:
            return make_trainer(
                data,
                epochs=epochs,
                recipe="short",
                queue_size=QUEUE,
                image_size=options["image_size"],
                batch_size=options["batch"],
                backbone=options["backbone"],
                device=options["device"],
            )

        trial = made(1)
        epoch = seconds_per_step(trial) * len(trial.loader)
        self.trainer = made(max(1, round(seconds / epoch)))
        self.backbone = self.trainer.task.backbone

    @property
    def images(self) -> int:
        return self.trainer.step * self.trainer.loader.batch_size

    def train_until(self, end: float) -> bool:
        """Train; whether there is more to do."""
        trainer = self.trainer
        with as_trained(trainer):
            while trainer.step < trainer.total_steps and time.perf_counter() < end:
                if trainer.train_epoch(lambda: time.perf_counter() >= end, lambda losses: None):
                    trainer.finish_epoch()
        return trainer.step < trainer.total_steps


class Lightly:
    """lightly's loop, which ends with the time."""

    def __init__(self, files: str, seconds: float, ours: bool, options: dict[str, Any]) -> None:
        device = resolve_device(options["device"])
        dtype = resolve_precision("auto", device) if ours else torch.float32
        self.batch, self.seconds, self.used, self.images = options["batch"], seconds, 0.0, 0
        self.peer = LightlyMoco(
            files,
            options["backbone"],
            image_size=options["image_size"],
            batch=self.batch,
            queue=QUEUE,
            device=device,
            dtype=dtype,
            ours=ours,
            workers=options["workers"],
        )
        self.backbone = self.peer.backbone

    def train_until(self, end: float) -> bool:
        """Train; whether there is more to do."""
        started = time.perf_counter()
        self.peer.query.train()
        while (now := time.perf_counter()) < end:
            self.peer.train(1, lambda now=now: (self.used + now - started) / self.seconds)
            if self.peer.device.type == "cuda":
                torch.cuda.synchronize()
            self.images += self.batch
        self.used += time.perf_counter() - started
        return self.used < self.seconds


def row_process(name: str, data: str, files: str, seconds: float, options: dict[str, Any], pipe: Connection) -> None:
    """Build a row, then train for the turns that the parent asks for, and evaluate after each."""
    if name == OURS:  # an empty cache of its own: the others need decoded images for the evaluation alone
        fresh = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, fresh)
        os.environ["DERMSSL_CACHE"] = fresh
    before, cpu_before = time.perf_counter(), cpu_seconds()
    if name == OURS:
        cached(data, size=source_size(options["image_size"]), workers=options["workers"], progress=False)
    prepared, cpu_prepared = time.perf_counter() - before, cpu_seconds() - cpu_before
    row: Any = Dermssl(data, seconds - prepared, options) if name == OURS else None
    row = row or Lightly(files, seconds, name == LIKE_OURS, options)
    labelled = sample(cached(data, size=source_size(options["image_size"]), progress=False), options["eval_images"])
    used, cpu, more = prepared, cpu_prepared, True
    pipe.send(None)
    while (turn := pipe.recv()) is not None:
        started, cpu_started = time.perf_counter(), cpu_seconds()
        if more:
            more = row.train_until(started + min(turn, max(0.0, seconds - used)))
            used, cpu = used + time.perf_counter() - started, cpu + cpu_seconds() - cpu_started
            more = more and used < seconds
        device, size = options["device"], options["image_size"]
        k = min(100, len(labelled.images) // 4)
        report = evaluate_knn(row.backbone, labelled, k=k, image_size=size, device=device, precision="auto")
        names = ("accuracy", "balanced_accuracy")
        point = {"seconds": used, "cpu_seconds": cpu, "images": row.images, **{n: report.metrics[n] for n in names}}
        pipe.send((point, report.majority_accuracy, more))


def sample(cache: Cache, count: int | None) -> Cache:
    """Some of the labelled images, always the same."""
    if count is None or count >= len(cache.images):
        return cache
    return cache.select(np.sort(np.random.default_rng(0).permutation(len(cache.images))[:count]))


def cpu_seconds() -> float:
    """Processor time of this process, its threads and its children, those that live included."""
    total, ticks = sum(os.times()[:4]), os.sysconf("SC_CLK_TCK")
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == os.getpid():
            total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def folder_of(data: str) -> str:
    """Where the image files lie, for lightly."""
    return os.path.commonpath([str(path.parent) for path in read_records(data).paths])


def run(data: str, rows: list[str], minutes: float, turns: int, options: dict[str, Any]) -> dict[str, Any]:
    """All turns of all rows."""
    seconds, files = 60 * minutes, folder_of(data)
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for name in rows:
        ours, theirs = context.Pipe()
        arguments = (name, data, files, seconds, options, theirs)
        context.Process(target=row_process, args=arguments).start()  # no daemon: it may start a DataLoader's workers
        ours.recv()
        pipes[name] = ours
    points: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    majority, going = 0.0, set(rows)
    while going:
        for name in [name for name in rows if name in going]:
            pipes[name].send(seconds / turns)
            point, majority, more = pipes[name].recv()
            points[name].append(point)
            print(f"{name}: {describe(point)}", flush=True)
            if not more:
                going.discard(name)
    for pipe in pipes.values():
        pipe.send(None)
    device = resolve_device(options["device"])
    return {
        "rows": points,
        "majority_accuracy": majority,
        "minutes": minutes,
        "options": {name: value for name, value in options.items() if name != "device"},
        "hardware": hardware_name(device),
        "torch": torch.__version__,
    }


def describe(point: dict[str, float]) -> str:
    """A point in words."""
    return (
        f"{point['seconds']:.0f} s ({point['cpu_seconds']:.0f} s of processors), {point['images']:,} images: accuracy "
        f"{point['accuracy']:.1%}, macro recall {point['balanced_accuracy']:.1%}"
    )


def time_to(points: list[dict[str, float]], metric: str, value: float, clock: str = "seconds") -> float | None:
    """The first moment at which a metric reached a value; None if never."""
    return next((point[clock] for point in points if point[metric] >= value), None)


def print_table(found: dict[str, Any]) -> None:
    """The best of each row, and when ours reached the best of each."""
    rows = found["rows"]
    print(f"always the commonest class: {found['majority_accuracy']:.1%}")
    print("| | images | processor time | accuracy | macro recall | ours had its accuracy after | its recall after |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, points in rows.items():
        best = {metric: max(point[metric] for point in points) for metric in ("accuracy", "balanced_accuracy")}
        cells = []
        for metric, value in best.items():
            moment = time_to(rows.get(OURS, []), metric, value)
            reached = time_to(points, metric, value)
            cells.append("" if name == OURS else "not" if moment is None else f"{moment:.0f} s of its {reached:.0f} s")
        last = points[-1]
        print(
            f"| {name} | {last['images']:,} | {last['cpu_seconds']:.0f} s | {best['accuracy']:.1%} | "
            f"{best['balanced_accuracy']:.1%} | {cells[0]} | {cells[1]} |"
        )


def plot(found: dict[str, Any], path: Path) -> None:
    """Both metrics against time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, metric, title in zip(axes, ("accuracy", "balanced_accuracy"), ("Accuracy", "Macro recall"), strict=True):
        for name, points in found["rows"].items():
            minutes = [point["seconds"] / 60 for point in points]
            axis.plot(minutes, [100 * point[metric] for point in points], marker="o", markersize=3, label=name)
        axis.set(title=f"{title} of KNN, %", xlabel="minutes")
        axis.grid(alpha=0.3)
    axes[0].axhline(100 * found["majority_accuracy"], color="grey", linestyle="--", linewidth=1)
    axes[0].legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="labelled images: HAM10000")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, for each row")
    parser.add_argument("--turns", type=int, default=10, help="into which they are divided")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, help="of the DataLoader and of decoding; default: one per core")
    parser.add_argument("--eval-images", type=int, help="how many of the images are evaluated; default: all")
    args = parser.parse_args()
    options = {
        "backbone": args.backbone,
        "image_size": args.image_size,
        "batch": args.batch_size,
        "device": args.device,
        "workers": args.workers,
        "eval_images": args.eval_images,
    }
    args.output.mkdir(parents=True, exist_ok=True)
    found = run(args.data, args.rows, args.minutes, args.turns, options)
    (args.output / "time_to_accuracy.json").write_text(json.dumps(found, indent=1))
    plot(found, args.output / "time_to_accuracy.svg")
    print_table(found)


if __name__ == "__main__":
    main()
