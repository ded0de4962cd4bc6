"""What a model's evaluations gave more than those of others, image by image.

    python tests/benchmarks/published_weights/paired_differences.py \\
        RUN/evaluations [RUN-OF-ANOTHER-SEED/evaluations ...]

Beside `NAME.json`, the report of the model, lie `NAME-OTHER.json`: the same evaluation of other weights, each with its
answers in `.predictions.csv`. Prints a Markdown table of the differences in points, with 95 % intervals over lesions.
Of several folders, one a training seed, the mean difference, with two intervals: over lesions, the same ones for all
seeds, and over seeds (Student's t), which says what another training would give.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import t

import dermssl
from dermssl.evaluation.intervals import bootstrap, interval

METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "f1_weighted": "weighted F1"}

parser = argparse.ArgumentParser()
parser.add_argument("evaluations", type=Path, nargs="+")


def drawn(report: dermssl.Report) -> dict[str, np.ndarray]:
    """Each metric in all resamples of the lesions, which are the same for every report of the same images."""
    assert report.predictions is not None  # compare() has said so otherwise
    return bootstrap(report.predictions.sorted())


def row(pairs: list[tuple[dermssl.Report, dermssl.Report]]) -> Iterator[str]:
    """A cell for each metric, of the other weights' and the model's report from each folder."""
    differences = [dermssl.compare(other, own).difference for other, own in pairs]
    resamples = [(drawn(other), drawn(own)) for other, own in pairs]
    for metric in METRICS:
        of_seeds = [difference[metric] for difference in differences]
        over_lesions = interval(np.mean([own[metric] - other[metric] for other, own in resamples], axis=0))
        yield f"{100 * np.mean(of_seeds):+.2f} ({'; seeds '.join(map(points, [over_lesions, *over_seeds(of_seeds)]))})"


def over_seeds(differences: list[float]) -> list[tuple[float, float]]:
    """The interval of the mean of several trainings; none of a single one."""
    n = len(differences)
    if n == 1:
        return []
    mean, half = np.mean(differences), t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / n**0.5
    return [(float(mean - half), float(mean + half))]


def points(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:+.2f} to {100 * ends[1]:+.2f}"


def main(folders: list[Path]) -> None:
    print("| evaluation | less |", " | ".join(METRICS.values()), "|")
    print("| --- | --- |" + " ---: |" * len(METRICS))
    for file in sorted(folders[0].glob("*-*.json")):
        name, other = file.stem.rsplit("-", 1)
        if not all((folder / f"{stem}.json").exists() for folder in folders for stem in (name, file.stem)):
            continue
        load = dermssl.Report.load
        pairs = [(load(folder / file.name), load(folder / f"{name}.json")) for folder in folders]
        print(f"| {name} | {other} |", " | ".join(row(pairs)), "|", flush=True)


if __name__ == "__main__":
    main(parser.parse_args().evaluations)
