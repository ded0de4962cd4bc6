"""Batches of uint8 images in a seeded order, on the device, without worker processes."""

import contextlib
import logging
import mmap
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from dermssl import distributed
from dermssl.data.mapped import refuse_cut
from dermssl.errors import DermsslError

LOGGER = logging.getLogger("dermssl")

Item = TypeVar("Item")

# Share that the images may take of the GPU memory that is free once the model and a step are there; else they stay in
# the host's. The rest is for an evaluation on the way and for what the allocator cannot piece together.
RESIDENT_SHARE = 0.6
# Batches gathered ahead by the background thread.
PREFETCH = 2
_COPIED_BYTES = 256 * 2**20  # at a time, of the images that go to a GPU


class Loader:
    """Shuffled batches of a cache; the last, incomplete batch of an epoch is dropped.

    The order of an epoch depends on (seed, epoch) only, so that a resumed run sees the batches an unbroken one
    would have seen, and any number of processes the batches that one would see: each takes its share of every batch.

    Args:
        images: (N, S, S, 3) uint8, usually the memory map of a cache.
        batch_size: images per batch, of all processes together, at most N.
        seed: of the order.
        device: where batches are delivered. On CUDA all images are copied there once if they fit, which is decided
            after the first batch, when the memory of a step is taken; else a background thread gathers batches.
        free_memory: tells the bytes that are free on the device; default: asks CUDA.

    Attributes:
        resident: whether all images are on the device.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        *,
        seed: int,
        device: torch.device,
        free_memory: Callable[[torch.device], int] | None = None,
    ) -> None:
        if batch_size > len(images):
            raise DermsslError(
                f"--batch-size {batch_size} is larger than the data set: {len(images)} images; "
                f"use --batch-size {len(images)} or less, or more images"
            )
        if batch_size % distributed.world_size():
            _refuse_uneven(batch_size, distributed.world_size())
        self.images, self.batch_size, self.seed, self.device = images, batch_size, seed, device
        if free_memory is None and device.type == "cuda":
            free_memory = _free_on_cuda
        self._free_memory = free_memory  # None once it was asked, and where the device has no memory of its own
        self.resident, self._on_device = False, torch.empty(0)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.images) // self.batch_size

    def order(self, epoch: int) -> np.ndarray:
        """(batches, batch_size) int64 indices of the images in an epoch, the same in every process."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
        return order[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's shares of the batches of an epoch, from batch ``start`` on.

        Yields:
            the images (B, S, S, 3) uint8 and their numbers (B,) int64, on the device.

        Raises:
            DermsslError: the file of the images was cut since it was opened, or memory ran out.
        """
        order = self.order(epoch)[start:]
        if self._free_memory is not None and len(order):
            yield from self._streamed(order[:1])
            self._settle(self._free_memory(self.device))
            order = order[1:]
        if self.resident:
            for index in torch.from_numpy(order).to(self.device):
                index = distributed.share(index)
                yield self._on_device[index], index
        else:
            yield from self._streamed(order)

    def _settle(self, free: int) -> None:
        """Put all images on the device, of whose memory so much is free, if they fit."""
        self._free_memory = None
        if self.images.nbytes <= RESIDENT_SHARE * free:
            with contextlib.suppress(torch.OutOfMemoryError):
                self._on_device = _copied(self.images, self.device)
                self.resident = True
        if not self.resident:
            LOGGER.info(
                "the images take %.1f GB, and %.1f GB are free on %s: batches are sent there one by one",
                self.images.nbytes / 1e9,
                free / 1e9,
                self.device,
            )

    def _streamed(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        for images, index in _prefetched(self._gather(order)):
            yield images.to(self.device, non_blocking=True), index.to(self.device, non_blocking=True)

    def _gather(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        pinned = self.device.type == "cuda"
        for index in order:
            index = distributed.share(index)
            refuse_cut(self.images)
            _read_ahead(self.images, index)
            try:
                batch = torch.from_numpy(self.images[index]), torch.from_numpy(index)
                yield (batch[0].pin_memory(), batch[1].pin_memory()) if pinned else batch
            except MemoryError as error:
                raise DermsslError(
                    f"--batch-size {self.batch_size}: not enough memory for {1 + PREFETCH} batches of images; use "
                    f"--batch-size {max(1, self.batch_size // 2)} or a smaller --image-size"
                ) from error


def _copied(images: np.ndarray, device: torch.device) -> Tensor:
    """All images on the device, in parts: a read-only memory map is neither warned of nor copied whole beforehand."""
    refuse_cut(images)
    result = torch.empty(images.shape, dtype=torch.uint8, device=device)
    step = max(1, _COPIED_BYTES // max(1, images[0].nbytes))
    for start in range(0, len(images), step):
        result[start : start + step].copy_(torch.from_numpy(images[start : start + step].copy()))
    return result


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


def _free_on_cuda(device: torch.device) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return free


def _prefetched(batches: Iterator[Item]) -> Iterator[Item]:
    """The same batches, gathered by a thread up to ``PREFETCH`` ahead; its errors are raised here."""
    ready: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=PREFETCH)
    stopped = threading.Event()

    def put(item: Item | BaseException | None) -> bool:
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
