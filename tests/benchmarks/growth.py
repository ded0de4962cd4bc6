"""Time per epoch and memory against the number of images; time and memory of KNN against its bank.

    python tests/benchmarks/growth.py --output FOLDER [--images 1000 5000 20000] [--bank 10000 100000 1000000]

The images are 500 drawn ones, repeated in a cache that is written as ``dermssl prepare`` writes one: the work of an
epoch does not depend on what they show. An epoch is that of ``dermssl pretrain``, after some steps that are not timed.
KNN is the vote of ``dermssl eval-knn`` (k = 100, 7 classes) for 2,048 queries in a bank of random features.

Every measurement is a process of its own and all take turns; medians of the time, maxima of the memory. "Peak memory"
is what the process held at once, "without files" leaves out pages of the cache and of libraries, which the system takes
back when it needs them: the rise of the first with the images is the cache being read. Linux only, for /proc.
Besides the table, ``epoch.svg`` and ``knn.svg`` are written to FOLDER; dashed is growth in proportion to the largest.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from against_lightly import UNTIMED_STEPS, synchronize
from each_gain import end_of_an_epoch
from matplotlib.figure import Figure
from pretrain_throughput import end_to_end, make_trainer
from tqdm import tqdm

from dermssl.data.cache import source_size
from dermssl.data.fill import Plan, Rendered, build
from dermssl.data.records import Records
from dermssl.data.synthetic_photographs import draw
from dermssl.devices import hardware_name, resolve_device
from dermssl.evaluation.knn import knn_probabilities
from dermssl.files import write_text
from dermssl.reporting.figures import COLOURS, to_svg

DISTINCT, WIDTH, QUERIES, NEIGHBOURS, CLASSES = 500, 512, 2048, 100, 7


def write_cache(folder: Path, drawn: list[np.ndarray], count: int) -> None:
    names = tuple(f"{index:07d}.jpg" for index in range(count))
    paths = tuple(folder / name for name in names)  # there are no such files, and nothing reads them
    records = Records(folder, "image folder", paths, names, np.full(count, -1))
    size = len(drawn[0])
    plan = Plan(records, lambda i: Rendered(drawn[i % len(drawn)], f"{i:064x}", 1.0), "growth", size, "squash")
    build(folder, plan, workers=None, max_bad=0.0, progress=False)


def time_epoch(data: str, options: dict[str, Any]) -> tuple[Callable[[], None], torch.device]:
    trainer = make_trainer(data, **options)
    end_to_end(trainer, UNTIMED_STEPS)
    return lambda: end_of_an_epoch(trainer, len(trainer.loader)), trainer.device


def time_knn(size: int, options: dict[str, Any]) -> tuple[Callable[[], None], torch.device]:
    device, generator = resolve_device(options["device"]), torch.Generator().manual_seed(0)
    bank = torch.randn(size, WIDTH, generator=generator)
    labels = torch.randint(CLASSES, (size,), generator=generator)
    queries = torch.randn(QUERIES, WIDTH, generator=generator).to(device)

    def vote(rows: int = size) -> None:
        knn_probabilities(bank[:rows], labels[:rows], queries, k=NEIGHBOURS, classes=CLASSES)

    vote(min(size, 1000))
    return vote, device


def measure(kind: str, subject: Any, options: dict[str, Any]) -> tuple[float, int, int, int]:
    """Seconds, and bytes at their peak: of the process, without files, on the GPU."""
    with Peak() as peak:
        run, device = (time_epoch if kind == "epoch" else time_knn)(subject, options)
        synchronize(device)
        started = time.perf_counter()
        run()
        synchronize(device)
        seconds = time.perf_counter() - started
    gpu = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    # not getrusage's ru_maxrss: a process takes that over from the one that started it
    return seconds, status("VmHWM"), peak.anonymous, gpu


def measured_apart(*arguments: Any) -> tuple[float, int, int, int]:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class Peak:
    """The most memory this process had that belongs to no file, looked at 20 times a second."""

    def __enter__(self) -> "Peak":
        self.anonymous, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.anonymous = max(self.anonymous, status("RssAnon"))

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


@dataclass
class Row:
    """One size: what is measured there, and what was found."""

    kind: str
    size: int
    subject: Any
    found: list[tuple[float, int, int, int]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return statistics.median(seconds for seconds, *_ in self.found)

    def peak(self, which: int) -> float:
        """GiB."""
        return max(found[which] for found in self.found) / 2**30


def plot(rows: list[Row], sizes: str, seconds: str) -> str:
    """The text of an SVG file: time and memory against size."""
    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    largest, at = rows[-1], [row.size for row in rows]
    left.plot(at, [row.seconds for row in rows], "o-", color=COLOURS[0])
    left.plot([0, largest.size], [0, largest.seconds], "--", color="#60646c", linewidth=1)
    right.plot(at, [row.peak(1) for row in rows], "o-", color=COLOURS[0], label="peak memory")
    right.plot(at, [row.peak(2) for row in rows], "s-", color=COLOURS[1], label="without files")
    right.legend(frameon=False, fontsize=8)
    for axes, title in ((left, seconds), (right, "memory, GiB")):
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel(sizes, fontsize=8)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the two plots")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000, 20000])
    parser.add_argument("--bank", type=int, nargs="+", default=[10_000, 50_000, 100_000, 500_000, 1_000_000])
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--queue-size", type=int, default=512, help="at most the smallest number of images")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = vars(parser.parse_args())
    output, images, banks = options.pop("output"), sorted(options.pop("images")), sorted(options.pop("bank"))
    rounds, edge = options.pop("rounds"), source_size(options["image_size"])
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        number = min(DISTINCT, max(images))
        drawn = [np.asarray(draw("nv", edge, lesion=(i,), view=(i,))) for i in tqdm(range(number), desc="drawing")]
        epochs = [Row("epoch", count, f"{scratch}/{count}") for count in images]
        for row in epochs:
            write_cache(Path(row.subject), drawn, row.size)
        knn = [Row("knn", count, count) for count in banks]
        for _ in tqdm(range(rounds), desc="rounds"):
            for row in [*epochs, *knn]:
                row.found.append(measured_apart(row.kind, row.subject, options))
    device = resolve_device(options["device"])
    setting = f"{options['backbone']}, {options['image_size']} px, batch {options['batch_size']}"
    print(f"{setting}; {QUERIES} queries of {WIDTH} features; {hardware_name(device)}, torch {torch.__version__}")
    print("| | size | seconds | range | ms per image | peak memory | without files | GPU |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for row in [*epochs, *knn]:
        times = [seconds for seconds, *_ in row.found]
        print(
            f"| {'an epoch' if row.kind == 'epoch' else 'KNN'} | {row.size:,} | {row.seconds:.3g} | "
            f"{min(times):.3g} to {max(times):.3g} | {1000 * row.seconds / row.size:.4f} | "
            f"{row.peak(1):.2f} GiB | {row.peak(2):.2f} GiB | {row.peak(3):.2f} GiB |"
        )
    write_text(output / "epoch.svg", plot(epochs, "images", "seconds an epoch"))
    write_text(output / "knn.svg", plot(knn, "features in the bank", f"seconds, {QUERIES:,} queries"))


if __name__ == "__main__":
    main()
