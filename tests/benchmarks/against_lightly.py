"""Images per second of ``dermssl pretrain`` against lightly's MoCo v2, end to end, in one run.

    pip install ".[compare]" && python tests/benchmarks/against_lightly.py HAM10000/HAM10000_images [--image-size 64]

lightly as its documentation shows it: its MoCoV2Transform on image files in a DataLoader, a worker per core, its
projection head, NTXentLoss with a memory bank, SGD; in fp32 and, a row more, in our precision. Ours: the loop of
``dermssl pretrain`` from a cache that was built beforehand, as any second run finds it. Same images, backbone, size,
batch and queue.

Each row lives in a process of its own and is measured in turns with the others; medians are compared, since the speed
of a shared machine drifts. "network alone" is the row's own forward and backward on a batch that is already there; the
rest of its time is loading, augmentation, optimizer, momentum update, queue and logging. Memory: on the CPU the
proportional set size of the row's process and its workers, on CUDA the peak that torch allocated.
"""

import argparse
import contextlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from lightly_moco import LightlyMoco
from pretrain_throughput import bare_step, end_to_end, make_trainer

from dermssl.devices import resolve_device, resolve_precision

# Run before every timing: the workers of a DataLoader have batches ready after a pause, which are not to be counted.
UNTIMED_STEPS = 5

DOCUMENTED, SAME_PRECISION, OURS = "lightly, fp32", "lightly, same precision", "dermssl"

Steps = Callable[[int], None]


def dermssl_rotinstdisc(images: str, queue: int, batch: int, **common: Any) -> tuple[Steps, Steps]:
    trainer = make_trainer(images, batch_size=batch, queue_size=queue, **common)
    trainer.task.train()
    return lambda steps: end_to_end(trainer, steps), bare_step(trainer)


def row_process(
    name: str, images: str, options: dict[str, Any], loading: dict[str, Any], connection: Connection
) -> None:
    """Build a row, then time what the parent asks for: (what, steps) -> (seconds, bytes)."""
    device = resolve_device(options.pop("device", "auto"))
    dtype = resolve_precision("auto", device)
    untimed = UNTIMED_STEPS
    if name == OURS:
        train, network = dermssl_rotinstdisc(images, device=str(device), **options)
    else:
        precision = torch.float32 if name == DOCUMENTED else dtype
        peer = LightlyMoco(images, device=device, dtype=precision, **options, **loading)
        train, network = peer.train, peer.network
        untimed = max(untimed, peer.ahead + 1)
    kinds = {"train": train, "network": network}
    connection.send((str(device), str(dtype).removeprefix("torch.")))
    while (asked := connection.recv()) is not None:
        kind, steps = asked
        kinds[kind](untimed if kind == "train" else 1)
        synchronize(device)
        started = time.perf_counter()
        kinds[kind](steps)
        synchronize(device)
        connection.send((time.perf_counter() - started, memory(device)))


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def memory(device: torch.device) -> int:
    """Bytes in use by this process and its children; on CUDA the peak of what torch allocated there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    tree = [os.getpid(), *(child.pid for child in multiprocessing.active_children() if child.pid)]
    return sum(proportional_set_size(pid) for pid in tree)


def proportional_set_size(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@dataclass
class Row:
    """A row of the table: its process and what was measured."""

    name: str
    connection: Connection
    speeds: dict[str, list[float]] = field(default_factory=lambda: {"train": [], "network": []})
    memory: int = 0

    def measure(self, steps: int, batch: int) -> None:
        for kind, speeds in self.speeds.items():
            self.connection.send((kind, steps))
            seconds, used = self.connection.recv()
            speeds.append(steps * batch / seconds)
            self.memory = max(self.memory, used)

    def median(self, kind: str) -> float:
        return statistics.median(self.speeds[kind])


def compare(
    images: str, options: dict[str, Any], loading: dict[str, Any], *, rounds: int, steps: int
) -> tuple[list[Row], str, str]:
    """Measure all rows in turns.

    Args:
        images: folder of image files.
        options: ``backbone``, ``image_size``, ``batch``, ``queue``, and perhaps ``device``.
        loading: ``workers`` and ``prefetch`` of lightly's DataLoader, where they are not the defaults.

    Returns:
        the rows, the device and our precision.
    """
    context = multiprocessing.get_context("spawn")
    rows: list[Row] = []
    try:
        for name in (DOCUMENTED, SAME_PRECISION, OURS):
            ours, theirs = context.Pipe()
            # not a daemon: those may not start the workers of a DataLoader
            context.Process(target=row_process, args=(name, images, options, loading, theirs)).start()
            theirs.close()
            rows.append(Row(name, ours))
            device, dtype = ours.recv()  # one after the other: the first may have to build the cache
        for _ in range(rounds):
            for row in rows:
                row.measure(steps, options["batch"])
    finally:
        for row in rows:
            with contextlib.suppress(OSError):  # it has ended with an error of its own
                row.connection.send(None)
    return rows, device, dtype


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="folder of image files")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--queue-size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    options = {
        "backbone": args.backbone,
        "image_size": args.image_size,
        "batch": args.batch_size,
        "queue": args.queue_size,
    }
    rows, device, dtype = compare(args.images, options, {}, rounds=args.rounds, steps=args.steps)
    setting = f"{args.backbone}, {args.image_size} px, batch {args.batch_size}"
    print(f"{setting}, {dtype} on {device}, torch {torch.__version__}")
    print("| | images/s | range | ratio | network alone | share outside it | memory |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        speed, network, speeds = row.median("train"), row.median("network"), row.speeds["train"]
        print(
            f"| {row.name} | {speed:.1f} | {min(speeds):.1f} to {max(speeds):.1f} | "
            f"{speed / rows[0].median('train'):.2f} | {network:.1f} | {1 - speed / network:.0%} | "
            f"{row.memory / 2**30:.1f} GiB |"
        )


if __name__ == "__main__":
    main()
