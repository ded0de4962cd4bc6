"""Images per second of pretraining, end to end, against the bare network step, in one run.

    python tests/benchmarks/pretrain_throughput.py IMAGES [--image-size 64] [--batch-size 128] [--rounds 5] [--steps 12]

The two are measured in turns and their medians compared, since the speed of a shared machine drifts. "end to end" is
the loop of ``dermssl pretrain`` (batches from the cache, augmentation, losses, optimizer, momentum encoder, queue,
progress); "bare step" is the query's forward and backward and the key's forward on a batch that is already there.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from dermssl.backbones.create import create_backbone
from dermssl.data.cache import source_size
from dermssl.data.loader import Loader
from dermssl.data.prepare import cached
from dermssl.devices import autocast, exact_float32, resolve_device, resolve_precision, tuned_for_fixed_shapes
from dermssl.malloc import keep_freed_memory
from dermssl.pretraining.build import build_trainer
from dermssl.pretraining.config import make_config
from dermssl.pretraining.decided import batch_size, image_size, resolve
from dermssl.pretraining.trainer import Trainer


def training_parser(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """The images, what ``make_trainer`` takes, and the rounds: what all benchmarks of the training loop ask for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--queue-size", type=int, default=4096)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def make_trainer(data: str, **options: Any) -> Trainer:
    keep_freed_memory()  # as pretrain() does
    config = make_config(**{"epochs": 1000, **options})
    device = resolve_device(config.device)
    dtype = resolve_precision(config.precision, device)
    backbone = create_backbone(config.backbone, image_size=config.image_size)
    cache = cached(data, size=source_size(image_size(config, backbone)))
    loader = Loader(cache.images, batch_size(config, device), seed=0, device=device)
    return build_trainer(config, resolve(config, loader, backbone, dtype), backbone, loader, dtype)


@contextlib.contextmanager
def as_trained(trainer: Trainer) -> Iterator[None]:
    """The settings in which the loop of ``dermssl pretrain`` trains."""
    with exact_float32(trainer.device, trainer.dtype), tuned_for_fixed_shapes():
        yield


def end_to_end(trainer: Trainer, steps: int) -> None:
    last = trainer.step + steps
    with as_trained(trainer):
        while trainer.step < last:
            if trainer.train_epoch(lambda: trainer.step >= last, lambda losses: None):
                trainer.finish_epoch()


def seconds_per_step(trainer: Trainer) -> float:
    """The fastest of a few steps, whatever is compiled or recorded in the first ones."""
    trainer.task.train()
    batches, times = trainer.loader.epoch(0), []
    count = 4 if trainer.device.type == "cpu" else 16
    with as_trained(trainer):
        for _ in range(min(count, len(trainer.loader))):
            trainer._train_step(*next(batches))
            trainer._read()
            times.append(time.perf_counter())
    batches.close()
    return float(np.diff(times).min()) if len(times) > 1 else 1.0


def bare_step(trainer: Trainer) -> Callable[[int], None]:
    (query, key), turns = trainer.views(*next(trainer.loader.epoch(0)))
    query, key = (view.contiguous(memory_format=torch.channels_last) for view in (query, key))
    target = torch.zeros(len(turns), dtype=torch.long, device=turns.device)

    def run(steps: int) -> None:
        with as_trained(trainer):
            for _ in range(steps):
                trainer.optimizer.zero_grad(set_to_none=True)
                with autocast(trainer.device, trainer.dtype):
                    trainer.task.key_encoder(key)
                    embedding, rotation = trainer.task.trainable_module(query)
                    loss = torch.nn.functional.cross_entropy(embedding.float(), target) + rotation.float().mean()
                loss.backward()

    return run


def timed(run: Callable[[int], None], steps: int, images: int, device: torch.device) -> float:
    """Images per second."""
    started = time.perf_counter()
    run(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return steps * images / (time.perf_counter() - started)


def main() -> None:
    parser = training_parser(__doc__, rounds=5)
    parser.add_argument("--steps", type=int, default=12)
    options = vars(parser.parse_args())
    rounds, steps = options.pop("rounds"), options.pop("steps")
    trainer = make_trainer(**options)
    bare = bare_step(trainer)
    trainer.task.train()
    batch, device = trainer.loader.batch_size, trainer.device
    end_to_end(trainer, 3)
    bare(3)
    ours, limit = [], []
    for _ in range(rounds):
        ours.append(timed(lambda n: end_to_end(trainer, n), steps, batch, device))
        limit.append(timed(bare, steps, batch, device))
    ours_, limit_ = statistics.median(ours), statistics.median(limit)
    setting = f"{options['backbone']}, {options['image_size']} px, batch {batch}"
    print(f"{setting}, {trainer.dtype} on {device}, torch {torch.__version__}")
    print("| | images/s | range |\n| --- | ---: | --- |")
    print(f"| end to end | {ours_:.1f} | {min(ours):.1f} to {max(ours):.1f} |")
    print(f"| bare step | {limit_:.1f} | {min(limit):.1f} to {max(limit):.1f} |")
    print(
        f"end to end / bare step: {ours_ / limit_:.3f}; share of the time outside the network: {1 - ours_ / limit_:.1%}"
    )


if __name__ == "__main__":
    main()
