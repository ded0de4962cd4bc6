"""KNN or a linear classifier across cameras: of all camera set-ups of HAM10000 but one, tested on that one.

    python tests/benchmarks/published_weights/camera_shift.py \\
        HAM10000/ RUN random:resnet18 [--linear] [--image-size 64] [--fit crop] [--output RUN/evaluations/camera]

The set-ups are the `dataset` column of HAM10000_metadata.csv. Prints a Markdown table, one row per set-up
that is left out, with the accuracy and macro recall of each WEIGHTS and their 95 % bootstrap intervals over lesions.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

import dermssl
from dermssl.data.cache import Cache
from dermssl.data.prepare import evaluated
from dermssl.evaluation import knn, transfer
from dermssl.evaluation.labelled import LabelledImages
from dermssl.evaluation.protocol import Protocol
from dermssl.evaluation.setup import Setup

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("weights", nargs="+")
parser.add_argument("--image-size", type=int, default=128)
parser.add_argument("--fit", choices=("squash", "crop"), default="squash")
parser.add_argument("--column", default="dataset", help="of the table: what is left out in turn")
parser.add_argument("--k", type=int, default=100)
parser.add_argument("--linear", action="store_true", help="a linear classifier instead of nearest neighbours")
parser.add_argument("--output", type=Path, help="folder for the reports: one for each set-up and WEIGHTS")


_known: dict[tuple[str, str], np.ndarray] = {}


def remembered(setup: Setup, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """What `features_of` gives, computed once for each image: all of them are in every turn."""

    def features(of: LabelledImages) -> np.ndarray:
        keys = [(setup.name, str(name)) for name in of.hashes]
        new = np.array([key not in _known for key in keys])
        if new.any():
            answers = setup.features(of.images, of.rows[new])
            _known.update(zip([key for key, wanted in zip(keys, new, strict=True) if wanted], answers, strict=True))
        return np.stack([_known[key] for key in keys])

    return features(protocol.train), features(protocol.test)


def part(cache: Cache, chosen: np.ndarray, name: str) -> Cache:
    taken = cache.select(np.flatnonzero(chosen))
    return dataclasses.replace(taken, records=dataclasses.replace(taken.records, source=Path(name)), content_hash=name)


def cell(report: dermssl.Report, metric: str) -> str:
    low, high = report.interval[metric]
    return f"{100 * report.metrics[metric]:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main(args: argparse.Namespace) -> None:
    knn.features_of = transfer.features_of = remembered
    cache = evaluated(args.data, image_size=args.image_size, fit=args.fit)
    set_up = np.array(cache.records.attributes[args.column])
    print("| left out | images | commonest class |", *(f"{w}: accuracy | macro recall |" for w in args.weights))
    print("| --- | ---: | ---: |" + " ---: | ---: |" * len(args.weights))
    for name in np.unique(set_up):
        left_out = part(cache, set_up == name, str(name))
        # lesions photographed by several set-ups are tested only
        others = part(cache, ~np.isin(cache.records.groups, left_out.records.groups), f"all but {name}")
        framing = {"test": left_out, "image_size": args.image_size, "fit": args.fit}
        reports = [
            dermssl.finetune(weights, others, freeze=True, **framing)
            if args.linear
            else dermssl.evaluate_knn(weights, others, k=args.k, **framing)
            for weights in args.weights
        ]
        for number, report in enumerate(reports if args.output else ()):
            report.save(args.output / f"{name}-{number}.json")
        figures = " | ".join(f"{cell(report, 'accuracy')} | {cell(report, 'recall_macro')}" for report in reports)
        commonest = 100 * reports[0].majority_accuracy
        print(f"| {name} | {len(left_out.records):,} | {commonest:.1f} | {figures} |", flush=True)


if __name__ == "__main__":
    main(parser.parse_args())
