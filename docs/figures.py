"""Draws docs/images/method.svg:  python docs/figures.py"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import Circle, FancyBboxPatch

matplotlib.rcParams["svg.hashsalt"] = "dermssl"  # the same file each time
INK, QUERY, KEY = "#334155", "#0f766e", "#b45309"


def box(axes, x, y, text, colour, width=1.5):
    axes.add_patch(FancyBboxPatch((x, y), width, 0.7, "round,pad=0.06", facecolor="white", edgecolor=colour, lw=1.6))
    axes.text(x + width / 2, y + 0.35, text, ha="center", va="center", color=INK, fontsize=9)


def arrow(axes, start, end, colour=INK, style="-"):
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.4, "linestyle": style})


def lesion(axes, x, y, turned):
    axes.add_patch(FancyBboxPatch((x, y), 0.8, 0.8, "square,pad=0", facecolor="#f5d0c5", edgecolor=INK, lw=1))
    axes.add_patch(Circle((x + 0.4, y + 0.4), 0.22, facecolor="#7c2d12"))
    tip = (x + 0.7, y + 0.4) if turned else (x + 0.4, y + 0.7)
    axes.add_patch(Circle(tip, 0.06, facecolor="#1c1917"))


def method() -> plt.Figure:
    figure, axes = plt.subplots(figsize=(9, 3.6))
    axes.set(xlim=(0, 11), ylim=(-0.6, 4.2), aspect="equal")
    axes.axis("off")
    lesion(axes, 0.1, 1.5, turned=False)
    lesion(axes, 2.0, 2.6, turned=True)
    lesion(axes, 2.0, 0.4, turned=False)
    axes.text(2.4, 3.5, "query: cropped, recoloured, turned", ha="center", fontsize=8, color=QUERY)
    axes.text(2.4, 0.15, "key: cropped, recoloured", ha="center", va="top", fontsize=8, color=KEY)
    arrow(axes, (1.0, 2.0), (1.9, 2.9), QUERY)
    arrow(axes, (1.0, 1.8), (1.9, 0.9), KEY)
    box(axes, 3.5, 2.65, "encoder", QUERY)
    box(axes, 3.5, 0.45, "momentum\nencoder", KEY)
    arrow(axes, (2.9, 3.0), (3.4, 3.0), QUERY)
    arrow(axes, (2.9, 0.8), (3.4, 0.8), KEY)
    arrow(axes, (4.25, 2.5), (4.25, 1.3), INK, "--")
    axes.text(4.15, 1.9, "moving average\n(eq. 4)", fontsize=8, color=INK, va="center", ha="right")
    box(axes, 6.0, 3.2, "rotation head", QUERY, 1.7)
    box(axes, 6.0, 2.1, "instance head", QUERY, 1.7)
    box(axes, 6.0, 0.45, "queue of keys", KEY, 1.7)
    arrow(axes, (5.1, 3.1), (5.9, 3.5), QUERY)
    arrow(axes, (5.1, 2.9), (5.9, 2.5), QUERY)
    arrow(axes, (5.1, 0.8), (5.9, 0.8), KEY)
    arrow(axes, (7.8, 3.55), (8.5, 3.55), QUERY)
    arrow(axes, (7.8, 2.45), (8.5, 2.1), QUERY)
    arrow(axes, (7.8, 0.8), (8.5, 1.6), KEY)
    axes.text(8.6, 3.55, "which turn?  $L_R$ (eq. 1)", fontsize=9, color=INK, va="center")
    axes.text(8.6, 1.85, "which image?  $L_I$ (eq. 3)", fontsize=9, color=INK, va="center")
    axes.text(8.6, 2.75, "$L = \\lambda L_R + L_I$ (eq. 5)", fontsize=10, color=INK, va="center")
    return figure


if __name__ == "__main__":
    target = Path(__file__).parent / "images" / "method.svg"
    method().savefig(target, bbox_inches="tight", metadata={"Date": None})
    print(target)
