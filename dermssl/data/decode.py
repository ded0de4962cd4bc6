"""One image file -> one uint8 RGB square."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dermssl.data.formats import FORMATS as FORMATS
from dermssl.data.formats import UnreadableImage as UnreadableImage
from dermssl.data.formats import open_image
from dermssl.options import FITS as FITS
from dermssl.options import Fit as Fit

# A 10,000 x 10,000 picture takes 300 MB once decoded; ISIC's largest are around 6,700 x 4,500.
MAX_PIXELS = 100_000_000

_TURNS = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_file(path: str | Path, size: int, fit: Fit = "squash") -> npt.NDArray[np.uint8]:
    """Decode the image file at ``path``; see `decode`."""
    return decode(read_bytes(path), size, fit)


def read_bytes(path: str | Path) -> bytes:
    """The content of an image file.

    Raises:
        UnreadableImage: it is missing, empty or may not be read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImage(error.strerror or str(error)) from error
    if not data:
        raise UnreadableImage("empty file")
    return data


def decode(data: bytes, size: int, fit: Fit = "squash") -> npt.NDArray[np.uint8]:
    """Decode an image into a square.

    Orientation is taken from EXIF; grey, palette, CMYK and 16-bit pictures become 8-bit RGB;
    transparent parts become black, which is what dermoscopy shows outside its field of view. Colour profiles
    are not applied.

    Args:
        data: the content of the file; its format is found from it, whatever the file is called.
        size: edge length S of the result, in pixels.
        fit: "squash" resizes both sides to ``size``, "crop" the shorter one and keeps the middle square.

    Returns:
        (S, S, 3) uint8.

    Raises:
        UnreadableImage: no known format, truncated, damaged, or more than ``MAX_PIXELS`` pixels.
    """
    return np.asarray(_decoded(data, lambda image: _resize(_rgb(image), size, fit), draft=size))


def decode_whole(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode an image at its own resolution and shape, otherwise as `decode` does.

    Returns:
        (H, W, 3) uint8.

    Raises:
        UnreadableImage: as `decode`.
    """
    return np.asarray(_decoded(data, _rgb))


def _decoded(data: bytes, finish: Callable[[Image.Image], Image.Image], draft: int | None = None) -> Image.Image:
    """``finish`` of the opened image, turned upright; ``draft``: the edge in pixels that will be kept of it."""
    try:
        with open_image(data, MAX_PIXELS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            if draft is not None:
                # JPEG can be decoded at 1/2, 1/4, 1/8 of its size for a fraction of the time. Twice the target is
                # kept, so that the resize still averages over pixels.
                image.draft(None, (2 * draft, 2 * draft))
            image.load()
            # Read only now: PIL turns a TIFF upright itself while loading it, and takes the tag out.
            orientation = _orientation(image)
            result = finish(image)
            result.load()
    except UnreadableImage:
        raise
    except Image.UnidentifiedImageError as error:
        raise UnreadableImage("not an image of a known format") from error
    except MemoryError as error:
        raise UnreadableImage("does not fit into memory") from error
    except Exception as error:  # decoders raise nearly anything on a damaged file: struct.error, SyntaxError ...
        raise UnreadableImage(f"cannot be decoded: {error}") from error
    if orientation in _TURNS:
        result = result.transpose(_TURNS[orientation])
    return result


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF says nothing about the picture, which may be perfect
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float64)
        # 16-bit grey comes as I;16 or I; float TIFFs hold 0..1 or 0..255.
        top = 65535 if image.mode != "F" and (image.mode != "I" or values.max() > 255) else 255
        top = 1 if image.mode == "F" and values.max() <= 1 else top
        grey = np.clip(np.nan_to_num(values) * (255 / top), 0, 255).round().astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")


def _resize(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    box = (0.0, 0.0, float(width), float(height))
    if fit == "crop":
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    # PIL widens the bicubic kernel with the ratio (antialiased); timm's own evaluation transforms use it too.
    # reducing_gap averages whole blocks first, which makes 12 megapixels as quick as 1.
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
