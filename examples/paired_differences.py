"""What a model's evaluations gave more than those of others, image by image.

    python examples/paired_differences.py RUN/evaluations

Beside `NAME.json`, the report of the model, lie `NAME-OTHER.json`: the same evaluation of other weights, each with its
answers in `.predictions.csv`. Prints a Markdown table of the differences in points, with 95 % intervals.
"""

import argparse
from pathlib import Path

import dermssl
from dermssl.evaluation.compare import Comparison

METRICS = {"accuracy": "accuracy", "recall_macro": "macro recall", "f1_weighted": "weighted F1"}

parser = argparse.ArgumentParser()
parser.add_argument("evaluations", type=Path)


def cell(result: Comparison, metric: str) -> str:
    low, high = result.interval[metric]
    return f"{100 * result.difference[metric]:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def main(folder: Path) -> None:
    print("| evaluation | less |", " | ".join(METRICS.values()), "|")
    print("| --- | --- |" + " ---: |" * len(METRICS))
    for file in sorted(folder.glob("*-*.json")):
        name, other = file.stem.rsplit("-", 1)
        own = folder / f"{name}.json"
        if own.exists():
            result = dermssl.compare(dermssl.Report.load(file), dermssl.Report.load(own))
            print(f"| {name} | {other} |", " | ".join(cell(result, metric) for metric in METRICS), "|", flush=True)


if __name__ == "__main__":
    main(parser.parse_args().evaluations)
