"""Figures as SVG text, by matplotlib's object interface: nothing touches pyplot's global state."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from dermssl.terminal import visible

# Okabe and Ito's colours: told apart with colour-blind eyes
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Point:
    """A figure with its interval, all three in the same unit; NaN where undefined."""

    name: str
    value: float
    low: float
    high: float


def loss_curves(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The losses of a run over its epochs, one figure each, as they have different scales.

    Args:
        history: one dict per epoch with ``epoch`` and losses, as in ``metrics.jsonl``.

    Returns:
        (text of an SVG file, a sentence with its first and last value) each.
    """
    names = [name for name in history[0] if name.startswith("loss") or name == "rotation_accuracy"]
    epochs = [line["epoch"] for line in history]
    curves = []
    for i, name in enumerate(names):
        figure = Figure(figsize=(3.6, 2.1), layout="constrained")
        axes = figure.add_subplot()
        values = [line[name] for line in history]
        axes.plot(epochs, values, color=COLOURS[i % len(COLOURS)], marker="o", markersize=2.5)
        axes.set_title(_words(name), fontsize=9, loc="left")
        axes.set_xlabel("epoch", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _plain(axes)
        alt = f"{_words(name)} over {len(values)} epochs, from {values[0]:.3g} to {values[-1]:.3g}"
        curves.append((to_svg(figure), alt))
    return curves


def estimates(title: str, rows: Sequence[Point], *, reference: float | None = None) -> str:
    """The text of an SVG file: figures as points with their intervals, under one another.

    Args:
        title: what they are figures of.
        rows: from top to bottom.
        reference: a value marked by a dashed line, such as the majority answer.
    """
    figure = Figure(figsize=(3.6, 0.7 + 0.4 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
        axes.plot([row.value], [place], color=colour, marker=MARKERS[place % len(MARKERS)], markersize=6)
        # above the line rather than beside the axis: names of weights are long
        axes.text(0.01, place - 0.22, row.name, fontsize=8, transform=axes.get_yaxis_transform(), clip_on=True)
    if reference is not None:
        axes.axvline(reference, color="#60646c", linestyle="--", linewidth=1)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.6, -0.8)  # the first on top
    axes.spines["left"].set_visible(False)
    _plain(axes)
    return to_svg(figure)


def against_fraction(
    title: str,
    fractions: Sequence[float],
    series: Mapping[str, Sequence[Point]],
    *,
    reference: Sequence[float] | None = None,
) -> str:
    """The text of an SVG file: a figure against the share of the labels used, a line each with its intervals.

    Args:
        title: what the figures are.
        fractions: (F,) of the labels.
        series: name -> (F,) estimates in per cent.
        reference: (F,) values of a dashed line, such as the majority answer.
    """
    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    shares = [100 * fraction for fraction in fractions]
    for i, (name, rows) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        marker, style = MARKERS[i % len(MARKERS)], "-" if i < len(COLOURS) else ":"  # colours repeat after seven
        axes.plot(shares, [row.value for row in rows], style, color=colour, marker=marker, label=name)
        axes.fill_between(
            shares, [row.low for row in rows], [row.high for row in rows], color=colour, alpha=0.15, linewidth=0
        )
    if reference is not None:
        axes.plot(shares, reference, "--", color="#60646c", linewidth=1, label="most frequent class")
    axes.set_xlabel("labels used, %", fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    _plain(axes)
    lines = axes.get_lines()
    # named here too, as matplotlib takes a line whose name begins with _ for one to leave out
    names = [str(line.get_label()) for line in lines]
    figure.legend(lines, names, loc="outside lower center", ncols=1, frameon=False, fontsize=8)
    return to_svg(figure)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _words(name: str) -> str:
    return name.replace("_", " ")


def to_svg(figure: Figure) -> str:
    """The text of the figure's SVG file; the same figure gives the same text."""
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    for text in figure.findobj(Text):
        # a file name with $ in it is not a formula; texts made on drawing heed the option below
        text.set_parse_math(False)
        text.set_text(visible(text.get_text()))  # no browser shows an SVG with a control character in it
    options: Any = {
        "svg.hashsalt": "dermssl",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "text.parse_math": False,
    }
    with matplotlib.rc_context(options), warnings.catch_warnings():
        # the text stays text, in the fonts of whoever reads it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
