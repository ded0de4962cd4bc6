"""Images per second of feature extraction from a cache, against the bare network's inference, in one run.

    python tests/benchmarks/extraction.py IMAGES [--image-size 64] [--batch-size 256] [--precision fp32]

"extraction" is what every evaluation calls: rows of the cache, resize, normalisation, network, features back as numpy.
"bare network" is the network on a batch that is already there. Measured in turns, medians compared.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from tqdm import tqdm

from dermssl.backbones.load import load_backbone
from dermssl.data.cache import source_size
from dermssl.data.prepare import cached
from dermssl.devices import autocast, resolve_device, resolve_precision
from dermssl.evaluation.features import extract_features
from dermssl.malloc import keep_freed_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=6)
    args = parser.parse_args()
    keep_freed_memory()
    device = resolve_device()
    dtype = resolve_precision(args.precision, device)
    images = cached(args.data, size=source_size(args.image_size)).images
    model = load_backbone(f"random:{args.backbone}").to(device).eval()
    rows = np.random.default_rng(0).permutation(len(images))[: args.batches * args.batch_size]
    ready = torch.randn(args.batch_size, 3, args.image_size, args.image_size, device=device)
    ready = ready.contiguous(memory_format=torch.channels_last)

    def extraction() -> None:
        extract_features(
            model,
            images,
            image_size=args.image_size,
            rows=rows,
            device=device,
            precision=args.precision,
            batch_size=args.batch_size,
        )

    def bare() -> None:
        with torch.no_grad(), autocast(device, dtype):
            for _ in range(args.batches):
                model(ready)
        if device.type == "cuda":
            torch.cuda.synchronize()

    speeds: dict[str, list[float]] = {"extraction": [], "bare network": []}
    for turn in tqdm(range(args.rounds + 1), desc="rounds"):
        for name, run in (("extraction", extraction), ("bare network", bare)):
            started = time.perf_counter()
            run()
            if turn:  # the first round warms up
                speeds[name].append(len(rows) / (time.perf_counter() - started))
    setting = f"{args.backbone}, {args.image_size} px, batch {args.batch_size}"
    print(f"{setting}, {dtype} on {device}, torch {torch.__version__}")
    print("| | images/s | range |\n| --- | ---: | --- |")
    for name, values in speeds.items():
        print(f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} to {max(values):.0f} |")
    ratio = statistics.median(speeds["extraction"]) / statistics.median(speeds["bare network"])
    print(f"extraction / bare network: {ratio:.3f}")


if __name__ == "__main__":
    main()
