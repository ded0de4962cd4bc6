"""Activation maps as pictures: laid over the image at its own resolution, and side by side on one page."""

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from dermssl.files import replaced_file
from dermssl.reporting.page import prose, write_page

COLOURS = "viridis"  # yellow on skin is told from it by everybody; red of the usual "jet" is not
OPACITY = 0.55
PAGE_EDGE = 480  # pixels, of the pictures inside the page
PAGE_NAME = "cam.html"


@dataclass(frozen=True)
class Panel:
    """One overlay.

    Attributes:
        name: of the weights.
        map: (h, w) float, larger is hotter.
        caption: what the map is of.
    """

    name: str
    map: np.ndarray
    caption: str = ""


@dataclass(frozen=True)
class CamRow:
    """One image with its overlays.

    Attributes:
        name: of the image.
        label: its class, or "".
        pixels: (H, W, 3) uint8.
        panels: one for each set of weights.
    """

    name: str
    label: str
    pixels: np.ndarray
    panels: Sequence[Panel]


def scaled(values: np.ndarray) -> np.ndarray:
    """The map stretched from 0 (its lowest) to 1 (its highest); a flat one is 0 everywhere."""
    low, high = float(values.min()), float(values.max())
    # rounding alone must not look like structure
    return np.zeros_like(values) if high - low <= 1e-6 * abs(high) else (values - low) / (high - low)


def overlay(pixels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The map, stretched and smoothly enlarged, over the image.

    Args:
        pixels: (H, W, 3) uint8.
        values: (h, w) float, over the whole image.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = pixels.shape[:2]
    large = Image.fromarray(scaled(values).astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    colours = matplotlib.colormaps[COLOURS](np.asarray(large).clip(0, 1), bytes=True)[..., :3]
    return np.asarray(Image.blend(Image.fromarray(pixels), Image.fromarray(colours), OPACITY))


def write_cam_page(folder: Path, rows: Iterable[CamRow], *, lead: str, notes: Sequence[str] = ()) -> list[Path]:
    """Write a PNG of every overlay and ``cam.html``, which shows them all and needs none of the other files.

    Args:
        folder: created if needed; files of the same names are replaced.
        rows: the images, taken one by one, so that not all need to be in memory.
        lead: first paragraph of the page: what is shown.
        notes: paragraphs on how to read it.

    Returns:
        the page, then the overlays in their order.
    """
    files: list[Path] = []
    sections = []
    for number, row in enumerate(rows, start=1):
        tiles = [_tile(row.pixels, f"{row.name}, the image", "the image")]
        for position, panel in enumerate(row.panels, start=1):
            picture = overlay(row.pixels, panel.map)
            # numbered, as two names may differ only in signs that a file name cannot hold
            file = folder / f"{number:02d}_{_plain(row.name)}.{position}_{_plain(panel.name)}.png"
            with replaced_file(file) as temporary:
                Image.fromarray(picture).save(temporary, "PNG")
            files.append(file)
            alt = f"{row.name}, activation map of {panel.name}"
            tiles.append(_tile(picture, alt, panel.name, panel.caption))
        label = f" ({row.label})" if row.label else ""
        sections.append((f"{row.name}{label}", [_tiles(tiles)]))
    page = folder / PAGE_NAME
    write_page(page, "Activation maps", lead, [("How to read it", [_scale(), *map(prose, notes)]), *sections])
    return [page, *files]


def _plain(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[-60:] or "image"


def _tiles(tiles: Sequence[str]) -> str:
    # as many columns as fit: side by side on a desk, two on a phone, nothing cut off in print
    columns = "grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem .6rem"
    style = f"display:grid;{columns};max-width:{15 * len(tiles)}rem"
    return f'<div style="{style}">{"".join(tiles)}</div>'


def _tile(pixels: np.ndarray, alt: str, *lines: str) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((PAGE_EDGE, PAGE_EDGE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    caption = "<br>".join(html.escape(line).replace("_", "_<wbr>") for line in lines if line)
    return (
        '<figure style="margin:0;break-inside:avoid">'
        f'<img style="display:block;width:100%;border-radius:4px" src="data:image/jpeg;base64,{data}" '
        f'alt="{html.escape(alt)}"><figcaption style="font-size:.8rem;line-height:1.35;padding-top:.25rem;'
        f'overflow-wrap:anywhere">{caption}</figcaption></figure>'
    )


def _scale() -> str:
    """The colours from low to high."""
    strip = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 256)[None].repeat(12, axis=0), bytes=True)[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        '<figure style="display:flex;gap:.6rem;align-items:center;font-size:.9rem">lowest'
        f'<img style="width:12rem;height:.8rem;border-radius:3px" src="data:image/png;base64,{data}" '
        'alt="colour scale, dark violet to yellow">highest of the picture</figure>'
    )
