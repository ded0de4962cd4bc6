"""Images per second of ``dermssl prepare`` on large originals, against PIL and torchvision, in one run.

    python tests/benchmarks/prepare.py [--images 24] [--size 256] [--rounds 3] [--interrupted 1024]

The originals are 4000 x 3000 JPEGs drawn here (gradients and noise, quality 90: their mean size is printed). Compared
are ``dermssl.prepare``, which decodes at a fraction of the size where that is enough, in threads, and writes a cache
that survives a power cut; PIL's open, convert and resize; torchvision's read_file, decode_jpeg and antialiased resize.
The latter two hand the arrays to this process and write nothing, and their processes are started beforehand. Every
file has just been written, so none is read from the disk. Measured in turns, medians compared.

The last rows are the command ``dermssl prepare`` as a whole, start of Python included, on hard links to the same
originals: in one go; killed (SIGKILL) once half of the images are in its journal; and started again, with the images
that were left. The journal is written every 64 MiB of decoded images (at most 256 of them), which is what a kill can
lose: with not many more ``--interrupted`` images than that, there is no half.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import dermssl
from dermssl.devices import hardware_name

WIDTH, HEIGHT = 4000, 3000


def draw_originals(folder: Path, count: int) -> None:
    """JPEGs that are smooth at large, textured in the middle and noisy at the pixel, as a camera's are."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 5, (HEIGHT, WIDTH, 1)).astype(np.int16)
    folder.mkdir()
    for index in tqdm(range(count), desc="drawing"):
        layers = [rng.integers(60, 220, (6, 8, 3)), rng.normal(128, 12, (HEIGHT // 8, WIDTH // 8, 3)).clip(0, 255)]
        gradients, texture = (
            np.asarray(Image.fromarray(layer.astype(np.uint8)).resize((WIDTH, HEIGHT)), np.int16) for layer in layers
        )
        pixels = gradients + texture - 128 + np.roll(noise, 97 * index, axis=(0, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index:04d}.jpg", quality=90)


def by_pil(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def by_torchvision(path: Path, size: int) -> np.ndarray:
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms.v2.functional import resize

    image = decode_jpeg(read_file(str(path)), ImageReadMode.RGB)
    return resize(image, [size, size], antialias=True).permute(1, 2, 0).numpy()


def in_processes(pool: ProcessPoolExecutor, convert: Callable, paths: list[Path], size: int) -> None:
    for image in pool.map(partial(convert, size=size), paths):
        assert image.shape == (size, size, 3)


def prepared(folder: Path, size: int, workers: int) -> None:
    output = folder.parent / "cache"
    dermssl.prepare(folder, output, size=size, workers=workers, progress=False)
    shutil.rmtree(output)


def measure(folder: Path, size: int, rounds: int, cores: int) -> dict[str, list[float]]:
    """Images per second of each row, a value a round."""
    paths, context = sorted(folder.iterdir()), get_context("spawn")
    one, many = (
        ProcessPoolExecutor(number, context, initializer=torch.set_num_threads, initargs=(1,)) for number in (1, cores)
    )
    with one, many:
        rows: dict[str, Callable[[], None]] = {
            "dermssl.prepare, one thread": partial(prepared, folder, size, 1),
            f"dermssl.prepare, {cores} threads": partial(prepared, folder, size, cores),
        }
        for name, convert in (("PIL", by_pil), ("torchvision", by_torchvision)):
            rows[f"{name}, one process"] = partial(in_processes, one, convert, paths, size)
            rows[f"{name}, {cores} processes"] = partial(in_processes, many, convert, paths, size)
            for pool, number in ((one, 1), (many, cores)):
                in_processes(pool, convert, paths[:number] * 2, size)  # starts the processes and their imports
        speeds: dict[str, list[float]] = {name: [] for name in rows}
        for _ in tqdm(range(rounds), desc="rounds"):
            for name, run in rows.items():
                started = time.perf_counter()
                run()
                speeds[name].append(len(paths) / (time.perf_counter() - started))
    return speeds


def command(folder: Path, output: Path, size: int, *, stop_at: int | None = None) -> tuple[float, int]:
    """Seconds of ``dermssl prepare`` and the images it had noted as done; killed once they are ``stop_at``."""
    journal, log = output / "unfinished" / "journal", folder.parent / "log.txt"
    started, done = time.perf_counter(), 0
    with open(log, "w", encoding="utf-8") as file:
        line = [sys.executable, "-m", "dermssl", "prepare", str(folder), "--output", str(output), "--size", str(size)]
        job = subprocess.Popen(line, stdout=file, stderr=file)
        while stop_at is not None and job.poll() is None and done < stop_at:
            time.sleep(0.05)
            done = journal.read_bytes().count(b"\n") if journal.exists() else 0
        if stop_at is not None:
            job.kill()
        code = job.wait()
    if code and stop_at is None:
        raise SystemExit(f"dermssl prepare failed: {log.read_text(encoding='utf-8')}")
    return time.perf_counter() - started, done


def interrupted(originals: Path, count: int, size: int) -> Iterator[tuple[str, int, float]]:
    """(what, images, seconds) of a run in one go, of one that is killed, and of the one after it."""
    links, paths = originals.parent / "links", sorted(originals.iterdir())
    links.mkdir()
    for index in range(count):
        os.link(paths[index % len(paths)], links / f"{index:06d}.jpg")
    whole, broken = originals.parent / "whole", originals.parent / "broken"
    yield "the command, in one go", count, command(links, whole, size)[0]
    seconds, done = command(links, broken, size, stop_at=count // 2)
    yield f"the command, killed with {done} in the journal", done, seconds
    seconds, _ = command(links, broken, size)
    same = (whole / "images.npy").read_bytes() == (broken / "images.npy").read_bytes()
    yield f"the command, started again: {'the same bytes' if same else 'OTHER BYTES'}", count - done, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--interrupted", type=int, default=1024, help="images of the killed run; 0 leaves it out")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "originals"
        draw_originals(folder, args.images)
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / args.images / 1e6
        speeds = measure(folder, args.size, args.rounds, cores)
        print(
            f"{args.images} JPEGs of {WIDTH} x {HEIGHT} px, {megabytes:.1f} MB each, to {args.size} px; "
            f"{hardware_name(torch.device('cpu'))}, torch {torch.__version__}"
        )
        best = statistics.median(speeds[f"dermssl.prepare, {cores} threads"])
        print("| | images | seconds | images/s | range | dermssl.prepare's ratio to it |")
        print("| --- | ---: | ---: | ---: | --- | ---: |")
        for name, found in speeds.items():
            speed = statistics.median(found)
            spread = f"{min(found):.1f} to {max(found):.1f}"
            seconds = args.images / speed
            print(f"| {name} | {args.images} | {seconds:.2f} | {speed:.1f} | {spread} | {best / speed:.2f} |")
        if args.interrupted:
            for name, images, seconds in interrupted(folder, args.interrupted, args.size):
                print(f"| {name} | {images} | {seconds:.2f} | {images / seconds:.1f} | | |")


if __name__ == "__main__":
    main()
