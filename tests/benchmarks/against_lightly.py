"""Images per second of ``dermssl pretrain`` against lightly's MoCo v2, end to end, in one run.

    pip install ".[compare]" && python tests/benchmarks/against_lightly.py HAM10000/HAM10000_images [--image-size 64]

lightly as its documentation shows it: its MoCoV2Transform on image files in a DataLoader, a worker per core, its
projection head, NTXentLoss with a memory bank, SGD; in fp32 and, a row more, in our precision. Ours: the loop of
``dermssl pretrain`` from a cache that was built beforehand, as any second run finds it. Same images, backbone,
size, batch and queue. All are measured in turns and their medians compared, since the speed of a shared machine drifts.
"""

import argparse
import copy
import os
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import MoCoV2Transform
from pretrain_throughput import bare_step, end_to_end, make_trainer, timed
from torch import nn

from dermssl.devices import autocast
from dermssl.methods.backbone import create_backbone, feature_width


def endless(loader: torch.utils.data.DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


def lightly_moco(
    images: str, backbone: str, image_size: int, batch: int, queue: int, device: torch.device, dtype: torch.dtype
) -> Callable[[int], None]:
    model = create_backbone(backbone, image_size=image_size)
    width = feature_width(model)
    query = nn.Sequential(model, MoCoProjectionHead(width, width, 128)).to(device)
    key = copy.deepcopy(query)
    deactivate_requires_grad(key)
    criterion = NTXentLoss(temperature=0.2, memory_bank_size=(queue, 128)).to(device)
    optimizer = torch.optim.SGD(query.parameters(), lr=0.06, momentum=0.9, weight_decay=1e-4)
    dataset = LightlyDataset(images, transform=MoCoV2Transform(input_size=image_size))
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    batches = endless(loader)

    def run(steps: int) -> None:
        for _ in range(steps):
            (view_q, view_k), _, _ = next(batches)
            update_momentum(query, key, m=0.99)
            with autocast(device, dtype):
                q = query(view_q.to(device, non_blocking=True))
                with torch.no_grad():
                    k = key(view_k.to(device, non_blocking=True))
                loss = criterion(q.float(), k.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of image files")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--queue-size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    common = {"backbone": args.backbone, "image_size": args.image_size}
    trainer = make_trainer(str(args.images), batch_size=args.batch_size, queue_size=args.queue_size, **common)
    trainer.task.train()
    device, dtype = trainer.device, trainer.dtype
    theirs = {"batch": args.batch_size, "queue": args.queue_size, "device": device, **common}
    rows: dict[str, Callable[[int], None]] = {
        "lightly, fp32": lightly_moco(str(args.images), dtype=torch.float32, **theirs),
        f"lightly, {dtype}".replace("torch.", ""): lightly_moco(str(args.images), dtype=dtype, **theirs),
        "dermssl": lambda steps: end_to_end(trainer, steps),
        "bare step of dermssl": bare_step(trainer),
    }
    speeds: dict[str, list[float]] = {name: [] for name in rows}
    for run in rows.values():
        run(3)
    for _ in range(args.rounds):
        for name, run in rows.items():
            speeds[name].append(timed(run, args.steps, args.batch_size, device))
    base = statistics.median(speeds["lightly, fp32"])
    print(f"{args.backbone}, {args.image_size} px, batch {args.batch_size}, {device}, torch {torch.__version__}")
    print("| | images/s | range | ratio |\n| --- | ---: | --- | ---: |")
    for name, values in speeds.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.1f} | {min(values):.1f} to {max(values):.1f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
