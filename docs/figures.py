"""Draws the pictures of the README and the home page.

python docs/figures.py method                     docs/images/method.svg
python docs/figures.py neighbours dermssl-demo    docs/images/neighbours.png, from what `dermssl demo` made
"""

import io
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from PIL import Image

import dermssl
from dermssl.data.prepare import cached
from dermssl.evaluation.embeddings import Embeddings

IMAGES = Path(__file__).parent / "images"
INK, QUERY, KEY, PAPER = "#334155", "#0f766e", "#b45309", "#ffffff"
CLASSES = ("bcc", "mel", "nv", "vasc")
SHOWN = 4  # neighbours of an image


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


def method() -> Figure:
    """Two views of an image, the encoder and the two tasks."""
    figure = Figure(figsize=(9, 3.6), facecolor=PAPER)
    axes = figure.subplots()
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


def nearest(found: Embeddings, query: int) -> np.ndarray:
    """Numbers of the images of other lesions whose features are nearest to those of one image, by cosine."""
    unit = found.features / np.linalg.norm(found.features, axis=1, keepdims=True)
    cosines = unit @ unit[query]
    cosines[np.array(found.groups) == found.groups[query]] = -2  # another photograph of the lesion would be too easy
    return np.argsort(-cosines)[:SHOWN]


def neighbours(images: Path, before: str, after: str, size: int) -> Figure:
    """For an image of some classes the nearest images of other lesions, those of the same class framed."""
    cache = cached(images, size=64)
    found = [dermssl.embed(weights, images, image_size=size) for weights in (before, after)]
    labels = np.array(found[0].labels)
    classes = [name for name in CLASSES if name in labels]
    generator = np.random.default_rng(0)
    queries = [int(generator.choice(np.flatnonzero(labels == name))) for name in classes]
    figure = Figure(figsize=(8.2, 0.9 * len(classes) + 0.4), facecolor=PAPER)
    columns = [0, *range(2, 2 + SHOWN), *range(3 + SHOWN, 3 + 2 * SHOWN)]
    width = [1, 0.25, *[1] * SHOWN, 0.25, *[1] * SHOWN]
    grid = figure.add_gridspec(
        len(classes),
        len(width),
        width_ratios=width,
        left=0.01,
        right=0.99,
        bottom=0.02,
        top=0.89,
        wspace=0.08,
        hspace=0.08,
    )
    for row, query in enumerate(queries):
        shown = [query, *nearest(found[0], query), *nearest(found[1], query)]
        for column, image in zip(columns, shown, strict=True):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(cache.images[image])
            axes.set(xticks=[], yticks=[])
            same = column > 0 and labels[image] == labels[query]
            for edge in axes.spines.values():
                edge.set(visible=same, color=QUERY, linewidth=3)
            if row == 0 and column in (0, columns[1], columns[1 + SHOWN]):
                title = {0: "image", columns[1]: "nearest, untrained network"}.get(
                    column, "nearest, pretrained network"
                )
                axes.set_title(title, fontsize=13, color=INK, loc="left")
    return figure


def write_method() -> Path:
    matplotlib.rcParams["svg.hashsalt"] = "dermssl"  # the same file each time
    target = IMAGES / "method.svg"
    method().savefig(target, bbox_inches="tight", metadata={"Date": None})
    return target


def write_neighbours(demo: Path) -> Path:
    target, drawn = IMAGES / "neighbours.png", io.BytesIO()
    neighbours(demo / "images", "random:resnet18", str(demo / "run"), 48).savefig(drawn, bbox_inches="tight", dpi=110)
    Image.open(drawn).convert("RGB").quantize(255).save(target, optimize=True)  # a third of the bytes
    return target


if __name__ == "__main__":
    print(write_method() if sys.argv[1] == "method" else write_neighbours(Path(sys.argv[2])))
