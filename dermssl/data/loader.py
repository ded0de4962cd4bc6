"""Batches of uint8 images in a seeded order, on the device, without worker processes."""

import contextlib
import mmap
import queue
import threading
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dermssl import distributed
from dermssl.errors import DermsslError

# Share of the free GPU memory that the images may take before they stay in host memory.
RESIDENT_SHARE = 0.4
# Batches gathered ahead by the background thread.
PREFETCH = 2


class Loader:
    """Shuffled batches of a cache; the last, incomplete batch of an epoch is dropped.

    The order of an epoch depends on (seed, epoch) only, so that a resumed run sees the batches an unbroken one
    would have seen, and any number of processes the batches that one would see: each takes its share of every batch.

    Args:
        images: (N, S, S, 3) uint8, usually the memory map of a cache.
        batch_size: images a batch, of all processes together, at most N.
        seed: of the order.
        device: where batches are delivered. On CUDA all images are copied there once if they fit in
            ``RESIDENT_SHARE`` of its free memory; else a background thread gathers batches.
    """

    def __init__(self, images: np.ndarray, batch_size: int, *, seed: int, device: torch.device) -> None:
        if batch_size > len(images):
            raise DermsslError(
                f"--batch-size {batch_size} is larger than the data set: {len(images)} images; "
                f"use --batch-size {len(images)} or less, or more images"
            )
        if batch_size % distributed.world_size():
            _refuse_uneven(batch_size, distributed.world_size())
        self.images, self.batch_size, self.seed, self.device = images, batch_size, seed, device
        self.resident = device.type == "cuda" and _fits(images, device)
        if self.resident:
            self._on_device = torch.from_numpy(np.ascontiguousarray(images)).to(device)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.images) // self.batch_size

    def order(self, epoch: int) -> np.ndarray:
        """(batches, batch_size) int64 indices of the images in an epoch, the same in every process."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
        return order[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """This process's shares (B, S, S, 3) uint8 of the batches of an epoch, on the device, from ``start`` on."""
        order = self.order(epoch)[start:]
        if self.resident:
            for index in torch.from_numpy(order).to(self.device):
                yield self._on_device[distributed.share(index)]
        else:
            for batch in _prefetched(self._gather(order)):
                yield batch.to(self.device, non_blocking=True)

    def _gather(self, order: np.ndarray) -> Iterator[Tensor]:
        for index in order:
            index = distributed.share(index)
            _read_ahead(self.images, index)
            batch = torch.from_numpy(self.images[index])
            yield batch.pin_memory() if self.device.type == "cuda" else batch


def _read_ahead(images: np.ndarray, index: np.ndarray) -> None:
    """Ask the system for the images at ``index``, all at once, where they are a file.

    Left alone it would read them one page fault after another, with far more around each than belongs to it.
    """
    if not (isinstance(images, np.memmap) and isinstance(images.base, mmap.mmap) and hasattr(mmap, "MADV_WILLNEED")):
        return
    with contextlib.suppress(OSError):  # it is no more than advice
        for start, length in _pages(images, index):
            images.base.madvise(mmap.MADV_WILLNEED, start, length)


def _pages(images: np.memmap, index: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where each image lies in the memory map: (start, length) in bytes, the start on a page."""
    size = images[0].nbytes
    first = images.offset % mmap.ALLOCATIONGRANULARITY
    for position in index.tolist():
        start = first + position * size
        page = start // mmap.PAGESIZE * mmap.PAGESIZE
        yield page, start + size - page


def _refuse_uneven(batch_size: int, processes: int) -> None:
    below = batch_size // processes * processes
    fitting = f"{below} or {below + processes}" if below else str(processes)
    raise DermsslError(
        f"--batch-size {batch_size} is the batch of all {processes} processes together and cannot be divided evenly "
        f"among them; use {fitting}"
    )


def _fits(images: np.ndarray, device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= RESIDENT_SHARE * free


def _prefetched(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same batches, gathered by a thread up to ``PREFETCH`` ahead; its errors are raised here."""
    ready: queue.Queue[Tensor | BaseException | None] = queue.Queue(maxsize=PREFETCH)
    stopped = threading.Event()

    def put(item: Tensor | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="dermssl-loader", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
