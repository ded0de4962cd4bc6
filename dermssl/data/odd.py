"""What is odd about a picture that can be decoded: it is kept and named, for people to look at."""

import contextlib
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from dermssl.data.records import Kind

CUT_SHORT = "seems to have lost its end: one side is a strip of one colour; kept, look at it"
BLACK_AND_WHITE = "black and white only, as a mask is; kept, remove it if it is no photograph"
_OF_SEVERAL = ("TIFF", "GIF", "WEBP", "PNG")  # in an MPO the others are previews of the first

LEAST = 8  # a strip of one colour counts from this share (1/8) of the edge on
DARK, BRIGHT = 40, 215  # borders of photographs are black or white
TINT = 8  # levels by which JPEG changes black, white and grey
SHARE = 0.85  # of the pixels of a mask at 32 px


def oddity(data: bytes, pixels: npt.NDArray[np.uint8]) -> str:
    """What is odd about a picture; "" if nothing is.

    Args:
        data: its file.
        pixels: (S, S, 3) uint8, what was made of it.
    """
    pictures = _pictures(data)
    if pictures > 1:
        return f"holds {pictures} pictures: the first is used; save the others as files of their own if they matter"
    if _is_jpeg(data) and looks_cut_short(pixels):
        return CUT_SHORT
    return BLACK_AND_WHITE if looks_like_mask(pixels) else ""


def kind_of(odd: str) -> Kind:
    """The sort of what `oddity` says."""
    return Kind.CUT_SHORT if odd == CUT_SHORT else Kind.OTHER


def _pictures(data: bytes) -> int:
    """How many pictures a file holds: pages of a TIFF, frames of a GIF; 1 where nobody knows."""
    if _is_jpeg(data):
        return 1
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data), formats=_OF_SEVERAL) as image:
        return int(getattr(image, "n_frames", 1))
    return 1


def looks_like_mask(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether a picture is grey and nearly all of it black or white; its edges are blurred where it was resized."""
    high, low = pixels.max(axis=2), pixels.min(axis=2)
    if (high - low).max() > TINT:
        return False
    return bool(((high <= TINT) | (low >= 255 - TINT)).mean() >= SHARE)


def looks_cut_short(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether one side of a decoded JPEG is a strip of exactly one grey or colour that the other side does not have.

    The sign of one that lost its end and was closed again: the decoder fills up with one colour and says nothing.
    libjpeg repeats the last brightness it read down to the end of a picture whose data stop early. Pillow refuses such
    a file only where its end mark is missing, too. A border that is on both sides, black or white is none.

    Args:
        pixels: (S, S, 3) uint8; turned pictures may have their end at any side.
    """
    edge = max(1, len(pixels) // LEAST)
    for turned in (pixels, pixels.transpose(1, 0, 2)):
        for end, other in ((turned[-edge:], turned[:edge]), (turned[:edge], turned[-edge:])):
            colour = end[0, 0]
            if (end == colour).all() and not (other == colour).all() and colour.max() > DARK and colour.min() < BRIGHT:
                return True
    return False


def _is_jpeg(data: bytes) -> bool:
    """By its first bytes."""
    return data.startswith(b"\xff\xd8\xff")
