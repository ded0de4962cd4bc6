"""How a picture of any shape becomes a square of pixels: for training, and for evaluations."""

from typing import Literal

from PIL import Image

from dermssl.options import Fit

Resize = Literal["bicubic", "bilinear"]  # of training, of evaluations


def resize_quickly(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """The square that training cuts its views from."""
    width, height = image.size
    side = min(width, height)
    box = (0.0, 0.0, float(width), float(height))
    if fit == "crop":
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    # PIL widens the bicubic kernel with the ratio (antialiased). reducing_gap averages whole blocks first, which makes
    # 12 megapixels as quick as 1.
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)


def smaller_square(image: Image.Image, size: int, resize: Resize) -> Image.Image:
    """A square made smaller, as the functions here make it of a picture."""
    made = resize_quickly if resize == "bicubic" else resize_as_torchvision
    return made(image, size, "squash")


def resize_as_torchvision(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """The square that torchvision's ``Resize`` and ``CenterCrop``, and so timm's transform, make of an upright picture.

    "crop" resizes the shorter edge to ``size`` and keeps the middle, with torchvision's rounding. Only what is kept is
    computed: the whole of a panorama of 1 x 100,000,000 pixels would not fit into memory.
    """
    width, height = image.size
    box = (0.0, 0.0, float(width), float(height))
    if fit == "crop":
        short = min(width, height)
        across, down = int(size * width / short), int(size * height / short)
        left, top = round((across - size) / 2), round((down - size) / 2)
        x, y = width / across, height / down
        box = (left * x, top * y, min((left + size) * x, width), min((top + size) * y, height))
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
