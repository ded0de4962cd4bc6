"""Images per second of pretraining by one process against several, each with the same batch of its own.

    python tests/benchmarks/weak_scaling.py IMAGES [--ranks 1 2] [--image-size 64] [--per-rank-batch 64] [--rounds 3]

Starts torchrun for each number of ranks in turns, one thread a rank on the CPU, one GPU a rank on CUDA. Measured is
the loop of ``dermssl pretrain`` after some steps of warm-up; best would be as many times the images as there are ranks.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def measure(options: dict[str, Any], steps: int) -> float | None:
    """One process of the job: images per second of all together; None beside the main process."""
    import torch

    from dermssl import distributed
    from dermssl.backbones.create import create_backbone
    from dermssl.data.cache import source_size
    from dermssl.data.loader import Loader
    from dermssl.data.prepare import cached
    from dermssl.devices import resolve_device, resolve_precision
    from dermssl.pretraining.build import build_trainer, distribute
    from dermssl.pretraining.config import make_config
    from dermssl.pretraining.decided import image_size, resolve

    torch.set_num_threads(1)
    with distributed.process_group():
        data, batch = options.pop("data"), options.pop("per_rank_batch") * distributed.world_size()
        config = make_config(epochs=1000, batch_size=batch, **options)
        device = distributed.own_device(resolve_device(config.device))
        dtype = resolve_precision(config.precision, device)
        backbone = create_backbone(config.backbone, image_size=config.image_size)
        with distributed.one_per_machine_first():
            cache = cached(data, size=source_size(image_size(config, backbone)), progress=distributed.is_main())
        loader = Loader(cache.images, batch, seed=0, device=device)
        trainer = build_trainer(config, resolve(config, loader, backbone, dtype), backbone, loader, dtype)
        distribute(trainer)

        def train(count: int) -> float:
            last, started = trainer.step + count, time.perf_counter()
            while trainer.step < last:
                if trainer.train_epoch(lambda: distributed.any_rank(trainer.step >= last), lambda losses: None):
                    trainer.finish_epoch()
            if device.type == "cuda":
                torch.cuda.synchronize()
            return count * batch / (time.perf_counter() - started)

        train(3)
        speed = train(steps)
        return speed if distributed.is_main() else None


def launch(ranks: int, arguments: list[str]) -> float:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", __file__]
    folder = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    job = subprocess.run(
        [*command, *arguments, "--rank-of-a-job"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )
    return json.loads(job.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--per-rank-batch", type=int, default=64)
    parser.add_argument("--queue-size", type=int, default=4096)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rank-of-a-job", action="store_true", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    ranks, rounds, steps = options.pop("ranks"), options.pop("rounds"), options.pop("steps")
    if options.pop("rank_of_a_job"):
        speed = measure(options, steps)
        if speed is not None:
            print(json.dumps(speed))
        return
    speeds: dict[int, list[float]] = {number: [] for number in ranks}
    for _ in range(rounds):
        for number in ranks:
            speeds[number].append(launch(number, sys.argv[1:]))
    medians = {number: statistics.median(found) for number, found in speeds.items()}
    base = medians[ranks[0]] / ranks[0]
    print(f"{options['backbone']}, {options['image_size']} px, {options['per_rank_batch']} images a rank and step")
    print("| ranks | global batch | images/s | range | of perfect scaling |\n| ---: | ---: | ---: | --- | ---: |")
    for number, found in speeds.items():
        share = medians[number] / (base * number)
        print(
            f"| {number} | {number * options['per_rank_batch']} | {medians[number]:.1f} | "
            f"{min(found):.1f} to {max(found):.1f} | {share:.1%} |"
        )


if __name__ == "__main__":
    main()
