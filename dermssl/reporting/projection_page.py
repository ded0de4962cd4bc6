"""Points in the plane as a figure with a legend, and the page that shows it beside the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dermssl.files import write_text
from dermssl.reporting.figures import COLOURS, to_svg
from dermssl.reporting.page import plot, prose, table, write_page

MARKERS = ("o", "^", "s", "D")
PAGE_NAME, FIGURE_NAME, POINTS_NAME = "projection.html", "projection.svg", "points.csv"


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


def legend_below(figure: Figure, names: Sequence[str], *, columns: int = 4) -> None:
    """A legend of the classes under a figure of `draw_points`.

    Args:
        names: what each class is called there, in the order of ``classes``.
    """
    handles = [Line2D([], [], linestyle="", markersize=7, **_mark(label)) for label in range(len(names))]
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns}
    figure.legend(handles, names, frameon=False, fontsize=10, handletextpad=0.1, **place)


def _counts(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    return np.bincount(labels, minlength=len(classes))


def _mark(label: int) -> dict[str, Any]:
    return {"color": COLOURS[label % len(COLOURS)], "marker": MARKERS[label // len(COLOURS) % len(MARKERS)]}


def write_projection_page(
    folder: Path,
    points: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    lead: str,
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    table_caption: str,
    notes: Sequence[str],
    points_csv: str,
) -> list[Path]:
    """Write ``projection.html`` (which needs no other file), ``projection.svg`` and ``points.csv``.

    Args:
        folder: created if needed; files of the same names are replaced.
        points, labels, classes: as in `scatter`.
        lead, caption, table_caption, notes: what the page says.
        header, rows: the purity table.
        points_csv: the text of ``points.csv``.

    Returns:
        the three files.
    """
    svg = scatter(points, labels, classes)
    page, figure, text = folder / PAGE_NAME, folder / FIGURE_NAME, folder / POINTS_NAME
    write_text(figure, svg)
    write_text(text, points_csv)
    alt = f"scatter plot of {len(points)} points in {len(classes)} classes"
    sections = [
        ("Features in the plane", [plot(svg, alt, caption)]),
        ("Neighbour purity", [table(header, rows, table_caption), *map(prose, notes)]),
    ]
    write_page(page, "Features by class", lead, sections)
    return [page, figure, text]
