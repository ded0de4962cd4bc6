"""Formats of image files: what PIL reads, what its plugins and pydicom add, and what to do about the others."""

import functools
import importlib
import importlib.util
import io
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermssl.errors import DermsslError

INSTALL = 'pip install "dermssl[sources]"'
# Recognised by content. Only plain raster formats: PIL would also run Ghostscript on an EPS named .jpg.
_NAMES = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF")
Image.init()  # Image.open(formats=...) takes only what is registered, and PIL registers the rarer ones late
FORMATS = tuple(name for name in _NAMES if name in Image.OPEN)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


class UnreadableImage(DermsslError):
    """An image file that cannot be decoded; the message is the reason, without the path."""


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Open an encoded image of any format that is known, not yet decoded where the format allows that.

    Raises:
        UnreadableImage: it is of a format that needs a library that is not installed, or a DICOM file without one
            picture of at most ``max_pixels``.
        PIL.UnidentifiedImageError: no known format.
    """
    if data[128:132] == b"DICM":
        return _dicom(data, max_pixels)
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIF_BRANDS:
        if not _with_heif():
            raise UnreadableImage(f"a HEIC picture: {INSTALL}, or convert it to JPEG")
        return Image.open(io.BytesIO(data), formats=("HEIF",))
    if brand in _AVIF_BRANDS and "AVIF" not in FORMATS:
        raise UnreadableImage('an AVIF picture: pip install "pillow>=11.3", or convert it to JPEG')
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _dicom(data: bytes, max_pixels: int) -> Image.Image:
    if not _there("pydicom"):
        raise UnreadableImage(f"a DICOM file: {INSTALL}, or convert it to PNG")
    pydicom: Any = importlib.import_module("pydicom")
    file = pydicom.dcmread(io.BytesIO(data))
    if "PixelData" not in file:
        raise UnreadableImage("a DICOM file without a picture")
    if int(file.get("NumberOfFrames") or 1) > 1:
        raise UnreadableImage(f"a DICOM file of {file.NumberOfFrames} pictures, where one is expected")
    if file.Rows * file.Columns > max_pixels:
        raise UnreadableImage(f"{file.Columns} x {file.Rows} pixels, more than {max_pixels:,}")
    pixels = file.pixel_array  # YBR becomes RGB on the way
    if pixels.dtype != np.uint8:
        top = 2 ** int(file.BitsStored) - 1
        low = -(top + 1) // 2 if int(file.PixelRepresentation) else 0
        pixels = ((pixels.astype(np.float64) - low) * (255 / top)).clip(0, 255).round().astype(np.uint8)
    if file.PhotometricInterpretation == "MONOCHROME1":
        pixels = 255 - pixels
    return Image.fromarray(pixels)


@functools.cache
def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@functools.cache
def _with_heif() -> bool:
    """Whether PIL reads HEIC; its plugin is registered on the first picture that needs it."""
    if not _there("pillow_heif"):
        return False
    importlib.import_module("pillow_heif").register_heif_opener(thumbnails=False)
    return True


# Suffixes of pictures that take more than PIL, and whether what they take is there.
_PLUGINS = dict.fromkeys((".heic", ".heif", ".hif"), "pillow_heif") | dict.fromkeys((".dcm", ".dicom"), "pydicom")
READABLE = frozenset(suffix for suffix, module in _PLUGINS.items() if _there(module)) | (
    {".avif"} if "AVIF" in FORMATS else set()
)
_ALMOST = "almost"  # the suffix of an image, and more
_REMEDIES = {
    **dict.fromkeys(_PLUGINS, f"{INSTALL} reads it"),
    ".avif": 'pip install "pillow>=11.3" reads it',
    **dict.fromkeys((".7z", ".rar", ".gz", ".bz2", ".xz", ".zst", ".lzma", ".tlz", ".z", ".iso"), "unpack it"),
    **dict.fromkeys((".dng", ".cr2", ".nef", ".arw"), "raw photographs are not read: develop to JPEG"),
    **dict.fromkeys((".npy", ".pkl", ".pickle", ".mat", ".pt"), "not read: save the images as .npz or as files"),
    ".lmdb": "not read: write the images to files",
    ".arrow": "not read: save the data set as parquet (to_parquet)",
    ".download": "an unfinished download",
    ".part": "an unfinished download",
    ".crdownload": "an unfinished download",
    **dict.fromkeys(
        (".jxl", ".psd", ".tga", ".pcx", ".exr", ".svs", ".rw2", ".orf", ".raf", ".pef", ".nrw", ".srw"),
        "not read: convert it to JPEG or PNG",
    ),
    "": "no suffix, so not taken for an image; rename it if it is one",
    _ALMOST: "the suffix is not that of an image; rename it if it is one",
}


# a.jpg.1, a.jpg~, a.jpg_large: what copying, editing and downloading make of a.jpg
_RENAMED = re.compile(r".+\.(jpe?g|png|bmp|tiff?|webp)([~_-]\w*|\.(bak|old|orig|tmp|copy|\d+))", re.IGNORECASE)
_NO_IMAGES = frozenset("readme license licence attribution makefile metadata ham10000_metadata checksums".split())  # noqa: SIM905


def not_read(names: Iterable[str]) -> list[tuple[str, str]]:
    """What among the names of files looks like images, or like what holds images, and is not read.

    Returns:
        for each kind the first name of it, and how many there are and what to do.
    """
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for name in sorted(names):
        path = Path(name)
        suffix = _ALMOST if _RENAMED.fullmatch(path.name) else path.suffix.lower()
        if suffix in _REMEDIES and suffix not in READABLE and (suffix or path.name.lower() not in _NO_IMAGES):
            counts[suffix] += 1
            first.setdefault(suffix, name)
    return [
        (name, f"left out: {_REMEDIES[suffix]}" + (f" ({counts[suffix]:,} such files)" if counts[suffix] > 1 else ""))
        for suffix, name in first.items()
    ]
