"""Pixels that were decoded already, as an encoded image again: without loss, and quicker than a PNG."""

import io

import numpy as np
from PIL import Image, ImageOps

from dermssl.data.formats import UnreadableImage


def of_array(pixels: np.ndarray) -> bytes:
    """(H, W), (H, W, 1) or (H, W, 3) uint8 as PGM or PPM.

    Raises:
        UnreadableImage: the array is of another shape or type.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or not pixels.size:
        raise UnreadableImage(f"{pixels.dtype} {pixels.shape}, where uint8 (height, width, 3) is expected")
    kind = "P5" if pixels.ndim == 2 else "P6"
    header = f"{kind}\n{pixels.shape[1]} {pixels.shape[0]}\n255\n".encode()
    return header + np.ascontiguousarray(pixels).tobytes()


def of_image(image: Image.Image) -> bytes:
    """A PIL image, turned upright by its EXIF tag."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return of_array(np.asarray(image))
    file = io.BytesIO()
    if image.mode in ("F", "I", "I;16B"):  # a PNG holds no more than 16 bits
        image.save(file, "TIFF")
        return file.getvalue()
    image = image if image.mode in ("1", "LA", "P", "RGBA", "I;16", "L", "RGB") else image.convert("RGB")
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
