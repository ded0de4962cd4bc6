"""Figures as SVG text, by matplotlib's object interface: nothing touches pyplot's global state."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart with colour-blind eyes
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def loss_curve(history: Sequence[dict[str, Any]]) -> str:
    """The losses of a run over its epochs, one panel each, as they have different scales.

    Args:
        history: one dict an epoch with ``epoch`` and losses, as in ``metrics.jsonl``.
    """
    names = [name for name in history[0] if name.startswith("loss")] + ["rotation_accuracy"]
    names = [name for name in names if name in history[0]]
    figure = Figure(figsize=(7.2, 1.9 * ((len(names) + 1) // 2)), layout="constrained")
    epochs = [line["epoch"] for line in history]
    for i, name in enumerate(names):
        axes = figure.add_subplot((len(names) + 1) // 2, 2, i + 1)
        axes.plot(epochs, [line[name] for line in history], color=COLOURS[i], marker="o", markersize=2.5)
        axes.set_title(name.replace("_", " "), fontsize=9, loc="left")
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure)


def to_svg(figure: Figure) -> str:
    """The text of the figure's SVG file; the same figure gives the same text."""
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "dermssl", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
