"""Images per second from a cache that lies in memory against one that does not fit, in one run.

    python tests/benchmarks/larger_than_memory.py IMAGES [--image-size 64] [--batch-size 128] [--rounds 3]

"loader alone" is an epoch of the batches of ``dermssl pretrain`` with nothing done to them, "training" its whole loop;
both for the last ``--batches`` of one. The cache is read from

- memory: every page of it has been touched beforehand;
- storage, an epoch at a time: the system is told to drop its pages before the epoch (of a memory map: first to unmap
  them, for a mapped page stays). What one read brings in beside the image it was for, a later batch finds;
- storage, a batch at a time: dropped before every batch, as if the cache were many times the memory;
- the same without advice: the system is not told which images come, and reads ahead as it likes;
- on CUDA, the GPU's memory; the others are then streamed through pinned memory, as beyond ``RESIDENT_SHARE``.

The last rows bound what storage can give: single images read at random places, by one thread and by many.
"read" is what came from storage per byte of the images asked for (/proc/self/io): near 0 where a row should read says
that pages were not dropped (tmpfs, some containers), and above 1 that read-ahead brings more than is used. Linux only.
"""

import contextlib
import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from against_lightly import synchronize
from each_gain import end_of_an_epoch
from pretrain_throughput import end_to_end, make_trainer, training_parser
from torch import Tensor
from tqdm import tqdm

from dermssl.data.cache_files import HEADER_BYTES
from dermssl.data.loader import Loader
from dermssl.devices import hardware_name

THREADS = 16


class FromStorage(Loader):
    """A Loader of which the system can be made to forget the cache, before every batch if asked for."""

    every_batch, advised = False, True

    def _gather(self, order: np.ndarray) -> Iterator[Tensor]:
        with contextlib.nullcontext() if self.advised else mock.patch("dermssl.data.loader._read_ahead"):
            for index in order:
                if self.every_batch:
                    self.drop()
                yield from super()._gather(index[None])

    def drop(self) -> None:
        self.images.base.madvise(mmap.MADV_DONTNEED)
        with open(self.images.filename, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def touch(self) -> None:
        self.images.reshape(-1)[:: mmap.PAGESIZE].max()


class Reads:
    """Single images by plain reads, without read-ahead."""

    def __init__(self, images: np.memmap) -> None:
        self.file, self.size = os.open(str(images.filename), os.O_RDONLY), images[0].nbytes
        os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_RANDOM)

    def __call__(self, row: int) -> int:
        return len(os.pread(self.file, self.size, HEADER_BYTES + int(row) * self.size))


def bytes_read() -> int:
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


class Table:
    """Rates and bytes of every cell: row -> column -> a value a round."""

    def __init__(self, image_bytes: int) -> None:
        self.image_bytes = image_bytes
        self.rates: dict[str, dict[str, list[float]]] = {}
        self.read: dict[str, list[float]] = {}

    def time(self, row: str, column: str, count: int, run: Callable[[], None]) -> None:
        before, started = bytes_read(), time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        self.rates.setdefault(row, {}).setdefault(column, []).append(count / seconds)
        self.read.setdefault(row, []).append((bytes_read() - before) / (count * self.image_bytes))

    def cell(self, row: str, column: str, first: str) -> str:
        """Median, range, and ratio to the row called ``first``."""
        rates = self.rates[row].get(column)
        if rates is None:
            return ""
        rate = statistics.median(rates)
        text = f"{rate:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
        reference = self.rates[first].get(column)
        return f"{text}, {rate / statistics.median(reference):.0%}" if reference else text

    def print(self) -> None:
        first = next(iter(self.rates))
        print(f"| images/s (range), share of {first} | loader alone | training | read |")
        print("| --- | ---: | ---: | ---: |")
        for row, read in self.read.items():
            cells = " | ".join(self.cell(row, column, first) for column in ("loader", "training"))
            print(f"| {row} | {cells} | {statistics.median(read):.2f} |")


def main() -> None:
    parser = training_parser(__doc__, rounds=3)
    parser.add_argument("--batches", type=int, default=20, help="a measurement, at most those of an epoch")
    options: dict[str, Any] = vars(parser.parse_args())
    rounds, batches = options.pop("rounds"), options.pop("batches")
    trainer = make_trainer(**options)
    device = trainer.device
    loader = trainer.loader = FromStorage(trainer.loader.images, trainer.loader.batch_size, seed=0, device=device)
    batches = min(batches, len(loader))
    end_to_end(trainer, 3)
    count, on_gpu = batches * loader.batch_size, loader.resident

    def load() -> None:
        for _ in loader.epoch(0, start=len(loader) - batches):
            pass
        synchronize(device)

    def train() -> None:
        end_of_an_epoch(trainer, batches)
        synchronize(device)

    # name: (how the pages are made ready, dropped before every batch, advised, from the GPU's memory)
    rows: dict[str, tuple[Callable[[], None], bool, bool, bool]] = {
        "memory": (loader.touch, False, True, False),
        "storage, an epoch at a time": (loader.drop, False, True, False),
        "storage, a batch at a time": (loader.drop, True, True, False),
        "the same without advice": (loader.drop, True, False, False),
    }
    if on_gpu:
        rows = {"the GPU's memory": (loader.touch, False, True, True), **rows}
    table = Table(loader.images[0].nbytes)
    order = np.random.default_rng(0).permutation(len(loader.images))[:count]
    read = Reads(loader.images)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in tqdm(range(rounds), desc="rounds"):
            for name, (prepare, every_batch, loader.advised, loader.resident) in rows.items():
                for column, run in (("loader", load), ("training", train)):
                    loader.every_batch = False
                    prepare()
                    loader.every_batch = every_batch
                    table.time(name, column, count, run)
            for threads, run_all in ((1, map), (THREADS, pool.map)):
                loader.drop()
                name = f"storage alone, {threads} thread{'s' * (threads > 1)}"
                table.time(name, "loader", count, lambda run_all=run_all: sum(run_all(read, order)))
    setting = f"{options['backbone']}, {options['image_size']} px, batch {loader.batch_size}"
    cache = f"{loader.images.nbytes / 2**30:.2f} GiB of images of {table.image_bytes:,} bytes"
    print(f"{setting}, {cache}; {hardware_name(device)}, torch {torch.__version__}")
    table.print()


if __name__ == "__main__":
    main()
