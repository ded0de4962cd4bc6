"""Points in the plane as a figure with a legend, and the page that shows it beside the table."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dermssl.errors import DermsslError
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
    counts = np.bincount(labels, minlength=len(classes))
    size = float(np.clip(24000 / max(len(points), 1), 4, 36))  # square points: thousands still show apart
    figure = Figure(figsize=(6.4, 6.6), layout="constrained")
    axes = figure.add_subplot()
    handles = {}
    for label in np.argsort(-counts, kind="stable"):  # the rare classes last, on top
        chosen = points[labels == label]
        handles[label] = axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=size,
            c=COLOURS[label % len(COLOURS)],
            marker=MARKERS[label // len(COLOURS) % len(MARKERS)],
            alpha=0.75,
            linewidths=0,
        )
    axes.set_aspect("equal", adjustable="datalim")
    # the axes of t-SNE have no unit and no meaning
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#d9dce1")
    figure.legend(
        [handles[label] for label in range(len(classes))],
        [f"{name} ({counts[label]:,})" for label, name in enumerate(classes)],
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=10,
        handletextpad=0.1,
        markerscale=float(np.sqrt(50 / size)),
    )
    return to_svg(figure)


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
    if folder.exists() and not folder.is_dir():
        raise DermsslError(f"--output {folder}: is a file; name a folder")
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
