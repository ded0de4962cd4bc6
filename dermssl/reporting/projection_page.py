"""Points in the plane as a figure with a legend, and the page that shows it beside the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dermssl.evaluation.projection import Projection
from dermssl.files import write_text
from dermssl.privacy import spoken
from dermssl.reporting.figures import COLOURS, MARKERS, to_svg
from dermssl.reporting.page import plot, prose, table, write_html

POINTS_NAME = "points.csv"

_PURITY = (
    "Purity: neighbours among the features themselves, by cosine. By chance: the share of the class among the images "
    "that could be neighbours. In the plane: neighbours in the figure above. Images of the same lesion do not count as "
    "neighbours."
)


def scatter(points: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> str:
    """The text of an SVG file: the points coloured by class, with a legend under them.

    Args:
        points: (N, 2) float.
        labels: (N,) index into ``classes``.
        classes: their names; colours repeat after seven, then with another mark.
    """
    figure = Figure(figsize=(6.4, 6.6), layout="constrained")
    draw_points(figure.add_subplot(), points, labels, classes)
    legend_below(figure, [f"{name} ({count:,})" for name, count in zip(classes, _counts(labels, classes), strict=True)])
    return to_svg(figure)


def draw_points(axes: Axes, points: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Draw the points, coloured by class; arguments as in `scatter`."""
    size = float(np.clip(24000 / max(len(points), 1), 4, 36))  # square points: thousands still show apart
    for label in np.argsort(-_counts(labels, classes), kind="stable"):  # the rare classes last, on top
        chosen = points[labels == label]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=size, alpha=0.75, linewidths=0, **_mark(label))
    axes.set_aspect("equal", adjustable="datalim")
    # the axes of t-SNE have no unit and no meaning
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#d9dce1")


def legend_below(figure: Figure, names: Sequence[str]) -> None:
    """A legend of the classes under a figure of `draw_points`.

    Args:
        names: what each class is called there, in the order of ``classes``.
    """
    handles = [Line2D([], [], linestyle="", markersize=7, **_mark(label)) for label in range(len(names))]
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": 4}
    figure.legend(handles, names, frameon=False, fontsize=10, handletextpad=0.1, **place)


def _counts(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    return np.bincount(labels, minlength=len(classes))


def _mark(label: int) -> dict[str, Any]:
    return {"color": COLOURS[label % len(COLOURS)], "marker": MARKERS[label // len(COLOURS) % len(MARKERS)]}


def write_projection_page(path: Path, result: Projection) -> list[Path]:
    """Write the page (which needs no other file), and beside it its figure (``.svg``) and ``points.csv``.

    Args:
        path: of the HTML file.
        result: what ``project`` returned.

    Returns:
        the three files.
    """
    settings, overall = result.protocol, result.overall
    svg = scatter(result.points, result.labels, result.classes)
    figure, points = path.with_suffix(".svg"), path.with_name(POINTS_NAME)
    write_text(figure, svg)
    write_text(points, result.to_csv())
    lead = (
        f"{spoken(result.weights)} on {settings['images']:,} images of {spoken(result.data)}: of the {settings['k']} "
        f"nearest neighbours of an image, {overall['purity']:.1%} are of its class; by chance it would be "
        f"{overall['chance']:.1%}."
    )
    alt = f"scatter plot of {len(result.points)} points in {len(result.classes)} classes"
    caption = (
        f"t-SNE of the pooled features (cosine), perplexity {settings['perplexity']:g}, seed {settings['seed']}, "
        f"network input {settings['image_size']} px. Near points are alike; distances between groups, their sizes and "
        "the axes mean nothing."
    )
    title = f"Share of the {settings['k']} nearest neighbours that are of the same class"
    sections = [
        ("Features in the plane", [plot(svg, alt, caption)]),
        ("Neighbour purity", [table(*result.table(), title), prose(_PURITY)]),
    ]
    write_html(path, "Features by class", lead, sections)
    return [path, figure, points]
