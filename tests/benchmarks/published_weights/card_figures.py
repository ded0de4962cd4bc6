"""Two figures for a model card that show no image: features in the plane, and where the network looks on average.

    python tests/benchmarks/published_weights/card_figures.py \\
        HAM10000/ RUN random:resnet18 --output RUN/evaluations [--image-size 64]

`features-in-the-plane.png` has a panel for each WEIGHTS, points coloured by class. `mean-activation.png` has the
activation map of the features (`dermssl cam`), each map divided by its sum, averaged over images of all classes alike.
What lies in the middle is printed with its 95 % bootstrap interval over images: lesions are photographed there.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dermssl
from dermssl.reporting.projection_page import draw_points, legend_below

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("weights", nargs="+")
parser.add_argument("--output", type=Path, required=True, help="folder for the figures")
parser.add_argument("--image-size", type=int, default=None, help="of the t-SNE; default: that of the weights")
parser.add_argument("--limit", type=int, default=2000, help="images in the plane")
parser.add_argument(
    "--map-size", type=int, default=224, help="edge of the images whose maps are averaged: 7 x 7 at 224"
)
parser.add_argument("--map-limit", type=int, default=700, help="images whose maps are averaged")


def planes(args: argparse.Namespace) -> Figure:
    figure = Figure(figsize=(4.6 * len(args.weights), 5.2), layout="constrained")
    panels = figure.subplots(1, len(args.weights), squeeze=False)[0]
    for axes, weights in zip(panels, args.weights, strict=True):
        plane = dermssl.project(weights, args.data, limit=args.limit, image_size=args.image_size)
        draw_points(axes, plane.points, plane.labels, plane.classes)
        purity, chance = (100 * plane.class_mean[key] for key in ("purity", "chance"))
        print(f"{weights}: purity of neighbourhoods, mean of classes {purity:.1f} % (by chance {chance:.1f} %)")
        axes.set_title(called(weights), fontsize=10)
    legend_below(figure, plane.classes)
    return figure


def activation(args: argparse.Namespace) -> Figure:
    looked = dermssl.class_activation(args.weights, args.data, limit=args.map_limit, image_size=args.map_size)
    parts = [result.maps / np.maximum(result.maps.sum(axis=(1, 2), keepdims=True), 1e-12) for result in looked.results]
    highest = max(float(part.mean(axis=0).max()) for part in parts)
    figure = Figure(figsize=(3.4 * len(parts), 3.4), layout="constrained")
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    for axes, weights, part in zip(panels, args.weights, parts, strict=True):
        edge = part.shape[1] // 4
        middle = part[:, edge : part.shape[1] - edge, edge : part.shape[2] - edge]
        even = middle[0].size / part[0].size
        share = middle.sum(axis=(1, 2))
        drawn = np.random.default_rng(0).choice(share, (1000, len(share))).mean(axis=1)
        low, high = np.percentile(drawn, (2.5, 97.5))
        print(
            f"{weights}: {100 * share.mean():.1f} % of the map ({100 * low:.1f} to {100 * high:.1f}) in the middle "
            f"{100 * even:.1f} % of the area, {len(part)} images"
        )
        image = axes.imshow(part.mean(axis=0), vmin=0, vmax=highest, cmap="magma")
        axes.set_title(called(weights), fontsize=10)
        axes.set_axis_off()
    figure.colorbar(image, ax=list(panels), label="share of the map", shrink=0.8)
    return figure


def called(weights: str) -> str:
    return weights if ":" in weights else "this model"


def main(args: argparse.Namespace) -> None:
    args.output.mkdir(parents=True, exist_ok=True)
    planes(args).savefig(args.output / "features-in-the-plane.png", dpi=110)
    activation(args).savefig(args.output / "mean-activation.png", dpi=110)


if __name__ == "__main__":
    main(parser.parse_args())
