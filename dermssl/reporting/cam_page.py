"""Activation maps as pictures: laid over the image at its own resolution, and side by side on one page."""

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from dermssl.evaluation.cam import Cam, CamMaps
from dermssl.files import replaced_file
from dermssl.privacy import spoken, told_apart
from dermssl.reporting.page import escape, prose, write_html

COLOUR_MAP = "viridis"  # yellow on skin is told from it by everybody; red of the usual "jet" is not
OPACITY = 0.55
PAGE_EDGE = 480  # pixels, of the pictures inside the page


NOTES = {
    "gradcam": "Grad-CAM: the features at each position of the network's last map, weighted by how much the score "
    "rises with them; negative values are cut off.",
    "cam": "CAM: the score of each position of the network's last map by itself.",
}
NO_CLASS = (
    "Without a classifier the score is the squared length of the pooled features: hot is what makes up the "
    "features, whatever it is. It is not what a diagnosis would rest on."
)
STRETCHED = (
    "Each map is stretched from its own lowest to its own highest value, so colours cannot be compared between "
    'pictures. "Lowest" under a picture says how much there is to stretch: at 95 % of the highest the network sees '
    "hardly any difference between the positions."
)


MEAN = (
    "The mean of the maps of many photographs, each as a share of its own mean: what the network prefers wherever the "
    "lesion is. Hot corners or edges in it are of the network, not of a picture."
)


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
    colours = Image.fromarray(_colours(values, *pixels.shape[:2]))
    return np.asarray(Image.blend(Image.fromarray(np.ascontiguousarray(pixels)), colours, OPACITY))


def _colours(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: the map (h, w), stretched and smoothly enlarged, in colours."""
    large = Image.fromarray(scaled(values).astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    heat, colours = np.asarray(large), np.empty((height, width, 3), np.uint8)
    rows = max(1, 2**20 // width)  # a megapixel at a time: matplotlib takes 16 bytes for each of 100 million
    for top in range(0, height, rows):
        strip = heat[top : top + rows].clip(0, 1)
        colours[top : top + rows] = matplotlib.colormaps[COLOUR_MAP](strip, bytes=True)[..., :3]
    return colours


def write_cam_page(path: Path, cam: Cam) -> list[Path]:
    """Write a page of all overlays, which needs no other file, and a PNG of each at the image's own resolution.

    Args:
        path: of the HTML file; the overlays go beside it, and files of the same names are replaced.
        cam: what ``class_activation`` returned; its images are read one by one.

    Returns:
        the page, then the overlays: image by image, of each set of weights.
    """
    files: list[Path] = []
    sections = []
    weights = told_apart([result.weights for result in cam.results])
    for i, name in enumerate(cam.images.ids):
        pixels = cam.images.pixels(i)
        tiles = [_tile(pixels, f"{name}, the image", "the image")]
        middle = _middle(pixels)
        for position, (title, result) in enumerate(zip(weights, cam.results, strict=True), start=1):
            picture = overlay(middle if result.fit == "crop" else pixels, result.maps[i])
            # numbered, as two names may differ only in signs that a file name cannot hold
            file = path.parent / f"{i + 1:02d}_{_plain(name)}.{position}_{_plain(title)}.png"
            with replaced_file(file) as temporary:
                Image.fromarray(picture).save(temporary, "PNG")
            files.append(file)
            tiles.append(_tile(picture, f"{name}, activation map of {title}", title, _caption(result, i)))
        label = f" ({cam.images.labels[i]})" if cam.images.labels[i] else ""
        sections.append((f"{name}{label}", [_tiles(tiles)]))
    means = [
        _tile(_colours(result.mean, PAGE_EDGE, PAGE_EDGE), f"mean map of {title}", title, _evenness(result.mean))
        for title, result in zip(weights, cam.results, strict=True)
        if result.mean is not None
    ]
    if means:
        about = f"{MEAN} Here of {cam.results[0].mean_of} photographs drawn at random."
        sections.insert(0, ("Mean map", [prose(about), _tiles(means)]))
    notes = [NOTES[cam.method]]
    notes += [note for title, result in zip(weights, cam.results, strict=True) if (note := _seen(title, result))]
    if not all(any(result.targets) for result in cam.results):
        notes.append(NO_CLASS)
    count = f"{len(cam.images)} images of " if len(cam.images) > 1 else ""
    lead = f"{count}{spoken(cam.data)}, seen by {', '.join(weights)}."
    reading = [_scale(), *map(prose, [*notes, STRETCHED])]
    write_html(path, "Activation maps", lead, [("How to read it", reading), *sections])
    return [path, *files]


def _seen(title: str, result: CamMaps) -> str:
    """What the network saw, where that is not what its weights were made for, or not the whole image."""
    rows, columns = result.maps.shape[1:]
    seen = f"{title} sees the images at {result.image_size} px: a map of {columns} x {rows} positions"
    if result.image_size != result.own_size:
        own = result.own_positions
        seen += f". At its own {result.own_size} px it would have {own} x {own}" + (
            ", where the padding at the edges weighs more than the picture" if own < min(rows, columns) else ""
        )
    return f"{seen}; of an image that is not square, its middle square." if result.fit == "crop" else f"{seen}."


def _evenness(mean: np.ndarray) -> str:
    corners = np.array([mean[0, 0], mean[0, -1], mean[-1, 0], mean[-1, -1]]) / mean.mean()
    return f"corners {corners.min():.2f} to {corners.max():.2f} of the mean"


def _middle(pixels: np.ndarray) -> np.ndarray:
    """The middle square of (H, W, 3)."""
    height, width = pixels.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return pixels[top : top + edge, left : left + edge]


def _caption(result: CamMaps, index: int) -> str:
    low, high = float(result.maps[index].min()), float(result.maps[index].max())
    parts = [f"{result.targets[index]}, {result.probabilities[index]:.0%}"] if result.targets[index] else []
    parts.append(f"lowest {low / high:.0%}" if high > 0 else "no evidence for it")
    return "; ".join(parts)


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
    caption = "<br>".join(escape(line).replace("_", "_<wbr>") for line in lines if line)
    return (
        '<figure style="margin:0;break-inside:avoid">'
        f'<img style="display:block;width:100%;border-radius:4px" src="data:image/jpeg;base64,{data}" '
        f'alt="{escape(alt)}"><figcaption style="font-size:.8rem;line-height:1.35;padding-top:.25rem;'
        f'overflow-wrap:anywhere">{caption}</figcaption></figure>'
    )


def _scale() -> str:
    """The colours from low to high."""
    strip = matplotlib.colormaps[COLOUR_MAP](np.linspace(0, 1, 256)[None].repeat(12, axis=0), bytes=True)[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        '<figure style="display:flex;gap:.6rem;align-items:center;font-size:.9rem">lowest'
        f'<img style="width:12rem;height:.8rem;border-radius:3px" src="data:image/png;base64,{data}" '
        'alt="colour scale, dark violet to yellow">highest of the picture</figure>'
    )
