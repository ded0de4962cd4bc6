"""One image file -> one uint8 RGB square."""

import errno
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dermssl.data.allowance import DECODING
from dermssl.data.formats import UnreadableImage, open_image
from dermssl.data.resize import Resize, resize_as_torchvision, resize_quickly
from dermssl.documents import advice
from dermssl.errors import DermsslError
from dermssl.options import Fit
from dermssl.regular import read_regular

# A 10,000 x 10,000 picture takes 300 MB once decoded; ISIC's largest are around 6,700 x 4,500.
MAX_PIXELS = 100_000_000
MAX_BYTES = 2**30  # of a file; 100 megapixels of 16-bit RGB without compression are 600 MB
_PEAK_BYTES = {"WEBP": 16, "JPEG2000": 24}  # for each pixel; 12 for the others

_TURNS = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS, _PHOTOMETRIC, _PLANES, _WHITE_IS_ZERO = 258, 262, 284, 0  # tags of a TIFF, and a value
_TOPS = (255.0, 4095.0, 65535.0)  # white in 8 bits, in the 12 of cameras, in 16
_SIDEWAYS = (5, 6, 7, 8)


def read_bytes(path: str | Path) -> bytes:
    """The content of an image file.

    Raises:
        UnreadableImage: it is missing, empty, may not be read, is not a regular file or is larger than ``MAX_BYTES``.
        DermsslError: the system is out of something that has nothing to do with this file.
    """
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise DermsslError(f"{path}: {error.strerror}; {advice(error, '')}") from error
        raise UnreadableImage(error.strerror or str(error)) from error
    if not data:
        raise UnreadableImage("empty file")
    return data


def decode(data: bytes, size: int, fit: Fit = "squash", resize: Resize = "bicubic") -> npt.NDArray[np.uint8]:
    """Decode an image into a square.

    Orientation is taken from EXIF; grey, palette, CMYK and 16-bit pictures become 8-bit RGB;
    transparent parts become black, which is what dermoscopy shows outside its field of view. Colour profiles
    are not applied.

    Args:
        data: the content of the file; its format is found from it, whatever the file is called.
        size: edge length S of the result, in pixels.
        fit: "squash" resizes both sides to ``size``, "crop" the shorter one and keeps the middle square.
        resize: "bicubic" is for training: quick, with JPEGs decoded at a fraction of their size. "bilinear" is for
            evaluations: to the pixel what timm's and torchvision's transforms make of the whole picture.

    Returns:
        (S, S, 3) uint8.

    Raises:
        UnreadableImage: no known format, truncated, damaged, or more than ``MAX_PIXELS`` pixels.
        MemoryError: there is not enough of it; says nothing about the image.
    """
    return decode_shaped(data, size, fit, resize)[0]


def decode_shaped(
    data: bytes, size: int, fit: Fit = "squash", resize: Resize = "bicubic"
) -> tuple[npt.NDArray[np.uint8], float]:
    """Decode an image into a square, and tell its shape; otherwise as `decode`.

    Returns:
        (S, S, 3) uint8, and the width / height of what was made square, as displayed: 1 for fit "crop".
    """

    def square(image: Image.Image, orientation: int) -> Image.Image:
        if resize == "bilinear":  # turned first: which pixel is the middle one depends on where the left is
            return resize_as_torchvision(_upright(_rgb(image), orientation), size, fit)
        return _upright(resize_quickly(_rgb(image), size, fit), orientation)

    image, width, height = _decoded(data, square, draft=size if resize == "bicubic" else None)
    return np.asarray(image), 1.0 if fit == "crop" else width / height


def decode_whole(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode an image at its own resolution and shape, otherwise as `decode` does.

    Returns:
        (H, W, 3) uint8.

    Raises:
        UnreadableImage, MemoryError: as `decode`.
    """
    return np.asarray(_decoded(data, lambda image, orientation: _upright(_rgb(image), orientation))[0])


def _decoded(
    data: bytes, finish: Callable[[Image.Image, int], Image.Image], draft: int | None = None
) -> tuple[Image.Image, int, int]:
    """``finish`` of the opened image, and the upright width and height that the file has.

    Args:
        finish: called with the image as it is stored and its EXIF orientation.
        draft: the edge in pixels that will be kept of it.
    """
    try:
        with open_image(data, MAX_PIXELS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImage(f"{width} x {height} pixels, more than {MAX_PIXELS:,}")
            if _tag(image, _PLANES) == 2 and _tag(image, _BITS) in ((16,) * 3, (16,) * 4):
                raise UnreadableImage(
                    "a TIFF of 16 bits with a plane for each colour, which PIL reads wrongly: convert it"
                )
            if draft is not None:
                # JPEG can be decoded at 1/2, 1/4, 1/8 of its size for a fraction of the time. Twice the target is
                # kept, so that the resize still averages over pixels.
                image.draft(None, (2 * draft, 2 * draft))
            with DECODING.borrow(_bytes_needed(image, width * height)):
                unturned = image.size
                image.load()
                if image.size != unturned:  # PIL turns a TIFF upright itself while loading it, and takes the tag out
                    width, height = height, width
                orientation = _orientation(image)
                result = finish(image, orientation)
                result.load()
    except (UnreadableImage, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise UnreadableImage("not an image of a known format") from error
    except Exception as error:  # decoders raise nearly anything on a damaged file: struct.error, SyntaxError ...
        raise UnreadableImage(f"cannot be decoded: {error}") from error
    if orientation in _SIDEWAYS:
        width, height = height, width
    return result, width, height


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _bytes_needed(image: Image.Image, pixels: int) -> int:
    """What decoding takes at its peak, roughly, before it is begun; ``pixels`` are those of the whole file.

    The factors of PNG and TIFF are above what 30-megapixel files were seen to take; the others are estimates.
    """
    decoded = image.width * image.height * _PEAK_BYTES.get(image.format or "", 12)
    # A progressive JPEG keeps the coefficients of all its pixels, at whatever size it is decoded.
    return decoded + (6 * pixels if image.info.get("progressive") else 0)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF says nothing about the picture, which may be perfect
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        result = Image.new("RGB", image.size)
        for box, strip in _strips(image):
            pixels = strip.convert("RGBA")
            black = Image.new("RGBA", pixels.size, (0, 0, 0, 255))
            result.paste(Image.alpha_composite(black, pixels).convert("RGB"), box)
        return result
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits as 8 bits; how many of its bits a file uses, only its brightest pixel tells."""
    most = max(_most(np.asarray(strip)) for _, strip in _strips(image))
    tops = (1.0, *_TOPS) if image.mode == "F" else _TOPS
    top = next((top for top in tops if most <= top), most)
    negative = image.mode.startswith("I;16") and _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO  # PIL turns 8 bits only
    top = 65535 if negative else top
    result = Image.new("L", image.size)
    for box, strip in _strips(image):
        values = np.nan_to_num(np.asarray(strip, dtype=np.float64))
        values = 65535 - values if negative else values
        result.paste(Image.fromarray(np.clip(values * (255 / top), 0, 255).round().astype(np.uint8)), box)
    return result


def _tag(image: Image.Image, tag: int) -> Any:
    """The value of a tag of a TIFF; None where there is none, and of other formats."""
    return getattr(image, "tag_v2", {}).get(tag)


def _most(values: npt.NDArray) -> float:
    return float(values[np.isfinite(values)].max(initial=0))


def _strips(image: Image.Image) -> Iterator[tuple[tuple[int, int, int, int], Image.Image]]:
    """Parts of an image, a megapixel each: what is done to one takes the memory of one."""
    columns, rows = min(image.width, 2**20), max(1, 2**20 // image.width)
    corners = itertools.product(range(0, image.height, rows), range(0, image.width, columns))
    for top, left in corners:
        box = (left, top, min(left + columns, image.width), min(top + rows, image.height))
        strip = image.crop(box)
        if "transparency" in image.info:
            strip.info["transparency"] = image.info["transparency"]
        yield box, strip
