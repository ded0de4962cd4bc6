"""What each part of the fast path gives on its own: ``dermssl pretrain``'s loop with one thing switched back at a time.

    python tests/benchmarks/each_gain.py IMAGES [--image-size 64] [--batch-size 128] [--rounds 3] [--steps 12]

- "fp32": no autocast.
- "NCHW": weights and views in torch's own memory format; the precision stays.
- "no prefetch": batches are gathered inside the loop. Nothing changes where the images are on the GPU.
- "freed memory given back": glibc and torch as they are by default (``dermssl.malloc``); on the CPU only.
- "momentum update by a loop": ``k = m k + (1 - m) q`` parameter by parameter, as in MoCo's code.
- "oneDNN's depthwise gradients": without ``dermssl.convolutions``; in bf16 on the CPU, and of a backbone that has such
  convolutions (``--backbone tf_efficientnet_lite0``).
- "torchvision in workers": the same views made image by image with torchvision on PIL images, from the same decoded
  cache, in a DataLoader with a worker per core.

Every measurement is a process of its own, since some of it lasts as long as the process; the rows take turns, medians
are compared. A row's ratio is its speed over that of the whole: 0.5 is a part that doubles the speed.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pretrain_throughput
import torch
from against_lightly import UNTIMED_STEPS, synchronize
from lightly_moco import endless
from PIL import Image
from pretrain_throughput import end_to_end, make_trainer, training_parser
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from dermssl import devices
from dermssl.data import loader as loader_module
from dermssl.data.augment import JITTERED
from dermssl.devices import hardware_name, resolve_device
from dermssl.methods.momentum import MomentumEncoder
from dermssl.pretraining.trainer import Trainer

ROWS = (
    "all of it",
    "fp32",
    "NCHW",
    "no prefetch",
    "freed memory given back",
    "momentum update by a loop",
    "oneDNN's depthwise gradients",
    "torchvision in workers",
)
ON_CPU = ("freed memory given back", "oneDNN's depthwise gradients")


def measure(row: str, data: str, steps: int, options: dict[str, Any]) -> tuple[float, str]:
    """Images per second of a row, and its setting in words; in a process of its own."""
    if row == "fp32":
        options = {**options, "precision": "fp32"}
    elif row == "NCHW":
        torch.channels_last = torch.contiguous_format  # what the loop asks for by this name
    elif row == "no prefetch":
        loader_module._prefetched = lambda batches: batches
    elif row == "freed memory given back":
        pretrain_throughput.keep_freed_memory = lambda: None
    elif row == "momentum update by a loop":
        MomentumEncoder.update = update_by_a_loop
    elif row == "oneDNN's depthwise gradients":
        devices.MendedConvolutions = contextlib.nullcontext
    trainer = make_trainer(data, **options)
    if row == "torchvision in workers":
        trainer.loader = trainer.views = ViewsOfWorkers(trainer)
    steps = min(steps, len(trainer.loader))
    end_to_end(trainer, UNTIMED_STEPS)
    synchronize(trainer.device)
    started = time.perf_counter()
    end_of_an_epoch(trainer, steps)
    synchronize(trainer.device)
    speed = steps * trainer.loader.batch_size / (time.perf_counter() - started)
    setting = f"{trainer.config.backbone}, {trainer.config.image_size} px, batch {trainer.loader.batch_size}"
    return speed, f"{setting}, {str(trainer.dtype).removeprefix('torch.')}"


def end_of_an_epoch(trainer: Trainer, steps: int) -> None:
    """Train the last ``steps`` batches of an epoch: to leave one early is to wait for the prefetch thread, 0.1 s."""
    trainer.step = (trainer.epoch + 2) * len(trainer.loader) - steps
    trainer.train_epoch(lambda: False, lambda losses: None)
    trainer.finish_epoch()


def measured_apart(*arguments: Any) -> tuple[float, str]:
    """``measure`` in a fresh process; one that may start processes itself, as those of a Pool may not."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


@torch.no_grad()
def update_by_a_loop(self: MomentumEncoder, encoder: nn.Module, m: float) -> None:
    key = self.encoder
    theta_q, buffers_q = dict(encoder.named_parameters()), dict(encoder.named_buffers())
    for name, theta_k in key.named_parameters():
        theta_k.data = theta_k.data * m + theta_q[name].data * (1 - m)
    for name, buffer_k in key.named_buffers():
        buffer_k.copy_(buffers_q[name])


class ViewsOfWorkers:
    """Loader and views in one: the two views of a batch come from a DataLoader's workers."""

    def __init__(self, trainer: Trainer) -> None:
        self.inner, self.batch_size, self.device = trainer.loader, trainer.loader.batch_size, trainer.device
        self.batches = endless(
            DataLoader(
                TwoViewsOfAnImage(trainer.loader.images, trainer.views),
                batch_size=self.batch_size,
                shuffle=True,
                drop_last=True,
                num_workers=os.cpu_count() or 1,
                persistent_workers=True,
                pin_memory=self.device.type == "cuda",
            )
        )

    def __len__(self) -> int:
        return len(self.inner)

    def order(self, epoch: int) -> np.ndarray:
        return self.inner.order(epoch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Tensor]]:
        for _ in range(start, len(self)):
            yield [part.to(self.device, non_blocking=True) for part in next(self.batches)]

    def __call__(self, batch: list[Tensor], index: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        query, key, turns = batch
        return (query, key), turns


class TwoViewsOfAnImage(Dataset):
    """(query, key, quarter turns of the query) by torchvision's transforms, as strong as those of ``views``."""

    def __init__(self, images: np.ndarray, views: Any) -> None:
        from torchvision import transforms as T

        policy = views.policy
        jitter = T.ColorJitter(policy.brightness, policy.contrast, policy.saturation, policy.hue)
        self.images = images
        self.transform = T.Compose(
            [
                T.RandomResizedCrop(views.size, scale=(policy.crop_scale, 1)),
                T.RandomHorizontalFlip(),
                T.RandomApply([jitter], p=JITTERED),
                T.RandomGrayscale(policy.grayscale),
                T.ToTensor(),
                T.Normalize(views.mean, views.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        image, turns = Image.fromarray(self.images[index]), int(torch.randint(4, ()))
        return torch.rot90(self.transform(image), turns, (1, 2)), self.transform(image), turns


def main() -> None:
    parser = training_parser(__doc__, rounds=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="only these; the first is the whole")
    options = vars(parser.parse_args())
    data, rows = options.pop("data"), options.pop("rows")
    rounds, steps = options.pop("rounds"), options.pop("steps")
    device = resolve_device(options["device"])
    if device.type != "cpu":
        rows = [row for row in rows if row not in ON_CPU]
    speeds: dict[str, list[float]] = {row: [] for row in rows}
    settings: dict[str, str] = {}
    for turn in tqdm(range(rounds * len(rows)), desc="measurements"):
        row = rows[turn % len(rows)]
        speed, settings[row] = measured_apart(row, data, steps, options)
        speeds[row].append(speed)
    medians = {row: statistics.median(found) for row, found in speeds.items()}
    print(f"{settings[rows[0]]} on {hardware_name(device)}, torch {torch.__version__}")
    print("| | images/s | range | ratio to the first |\n| --- | ---: | --- | ---: |")
    for row, found in speeds.items():
        spread = f"{min(found):.1f} to {max(found):.1f}"
        print(f"| {row} | {medians[row]:.1f} | {spread} | {medians[row] / medians[rows[0]]:.2f} |")


if __name__ == "__main__":
    main()
