"""JPEGs that lost their end and were closed again: the decoder fills up with one colour and says nothing."""

import numpy as np
import numpy.typing as npt

LEAST = 8  # a strip of one colour counts from this share (1/8) of the edge on
DARK, BRIGHT = 40, 215  # borders of photographs are black or white


def looks_cut_short(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether one side of a decoded JPEG is a strip of exactly one grey or colour that the other side does not have.

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


def is_jpeg(data: bytes) -> bool:
    """By its first bytes."""
    return data.startswith(b"\xff\xd8\xff")
