"""Pooled features of a frozen backbone, one row for each image."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.backbones.borrowed import borrowed
from dermssl.backbones.facts import INTERPOLATION, normalisation
from dermssl.data.cache import Cache
from dermssl.devices import autocast, made_there, out_of_memory_named, resolve_device, resolve_precision
from dermssl.errors import DermsslError
from dermssl.progress import progress_bar

SMALLER_BATCH = ", or a smaller --batch-size where the command has it"


def extract_features(
    model: nn.Module,
    images: np.ndarray,
    *,
    image_size: int,
    rows: np.ndarray | None = None,
    device: str | torch.device = "auto",
    precision: str | torch.dtype = "auto",
    batch_size: int = 256,
    progress: bool = False,
) -> np.ndarray:
    """What the backbone says of each image, before any classifier.

    Args:
        model: a timm model. Used in eval mode; its mode and device are as before afterwards. A classifier,
            if it has one, is left out.
        images: (P, S, S, 3) uint8, usually the memory map of a cache; read batch by batch.
        image_size: edge length in pixels that the network sees; images of another size are resized to it on the
            device.
        rows: (N,) which images, in which order; ``None`` for all.
        device: ``auto``, ``cpu``, ``cuda`` or a torch device.
        precision: ``auto`` (bf16 where the hardware multiplies in it), ``fp32``, ``bf16`` or a torch dtype.
        batch_size: images per forward pass.
        progress: show a bar on standard error.

    Returns:
        (N, D) float32.

    Raises:
        DermsslError: a feature is NaN or infinite, the network's output is not one vector per image, or memory ran
            out.
    """
    where = resolve_device(device) if isinstance(device, str) else device
    dtype = resolve_precision(precision, where) if isinstance(precision, str) else precision
    rows = np.arange(len(images)) if rows is None else rows
    mean, std = normalisation(model)
    answers = Answers()
    # not inference_mode: what a module caches in it (a ViT's positions) could not be trained with afterwards
    with (
        out_of_memory_named(where, batch_size, image_size, batch_option=False, note=SMALLER_BATCH),
        borrowed(model, where),
        torch.no_grad(),
        autocast(where, dtype),
        progress_bar(len(rows), "features", "images", shown=progress) as bar,
    ):
        for batch in read_batches(images, cut(rows, batch_size), where):
            answers.add(pooled(model, to_input(batch, image_size, mean, std)).float())
            bar.update(len(batch))
    result = answers.all()
    check_finite(result)
    return result


def said_of_resizing(cache: Cache, image_size: int) -> str:
    """How the images of a cache became ``image_size`` pixels wide, for a report's protocol."""
    if cache.size == image_size and cache.resize.endswith(INTERPOLATION):
        return f"{cache.resize}, antialiased"
    prepared = f"{cache.resize} to {cache.size} px"
    return prepared if cache.size == image_size else f"{prepared}, then {INTERPOLATION}, antialiased"


class Answers:
    """What a network says of many batches, read from its device a few times, not after each batch."""

    EVERY = 32

    def __init__(self) -> None:
        self._read: list[np.ndarray] = []
        self._there: list[Tensor] = []

    def add(self, answer: Tensor) -> None:
        """Keep the answer for a batch, (n, D)."""
        self._there.append(answer)
        if len(self._there) == self.EVERY:
            self._fetch()

    def all(self) -> np.ndarray:
        """(N, D) those of all batches."""
        self._fetch()
        return np.concatenate(self._read)

    def _fetch(self) -> None:
        if self._there:
            self._read.append(torch.cat(self._there).cpu().numpy())
            self._there = []


def read_batches(images: np.ndarray, batches: Sequence[np.ndarray], device: torch.device) -> Iterator[Tensor]:
    """Batches (n, S, S, 3) uint8 on the device, read from the memory map one ahead of the network.

    Args:
        images: (P, S, S, 3) uint8.
        batches: for each batch its rows of ``images``.
    """

    def read(number: int) -> Tensor:
        batch = torch.from_numpy(images[batches[number]])
        return batch.pin_memory() if device.type == "cuda" else batch

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, 0)
        for number in range(len(batches)):
            batch = ahead.result()
            if number + 1 < len(batches):
                ahead = reader.submit(read, number + 1)
            yield batch.to(device, non_blocking=True)


def cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive batches of at most ``size`` rows."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def to_input(batch: Tensor, image_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (n, S, S, 3) to the network's normalised float (n, 3, image_size, image_size), channels_last.

    The interpolation runs in float on every device: the CPU's faster uint8 one rounds, and the features of
    one backbone would depend on the device.
    """
    pixels = batch.permute(0, 3, 1, 2)
    if pixels.shape[-1] != image_size:
        # resizing planes is a third faster than resizing interleaved channels (2 CPU cores, 144 to 128 px)
        planes = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        pixels = F.interpolate(planes, (image_size, image_size), mode="bilinear", antialias=True)
    spread = made_there(std, batch.device)[:, None, None]
    shift = -made_there(mean, batch.device)[:, None, None] / spread
    normal = torch.addcmul(shift, pixels.float(), 1 / (255 * spread))
    return normal.contiguous(memory_format=torch.channels_last)


def pooled(model: nn.Module, inputs: Tensor) -> Tensor:
    """(n, D): the pooled features, past a classifier if the model has one."""
    if getattr(model, "num_classes", 0) and hasattr(model, "forward_head"):
        output = model.forward_head(model.forward_features(inputs), pre_logits=True)  # type: ignore[operator]
    else:
        output = model(inputs)
    if output.ndim != 2:
        raise DermsslError(
            f"the backbone gives {tuple(output.shape)} for a batch of {len(inputs)} images, not one vector "
            "per image: create it with num_classes=0 and its default global pooling"
        )
    return output


def check_finite(features: np.ndarray) -> None:
    """Raises DermsslError if a feature of (N, D) is NaN or infinite."""
    bad = int((~np.isfinite(features).all(axis=1)).sum())
    if bad:
        raise DermsslError(
            f"the features of {bad} of {len(features)} images are NaN or infinite; try --precision fp32. Where "
            "that does not help the weights are broken: restore them from a copy, or train again with a lower --lr"
        )
