"""Pictures for the tests of what is made of them."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_images(folder: Path, count: int, size: tuple[int, int] = (40, 30)) -> Path:
    """``count`` PNGs of noise, each other than the rest; ``size`` is (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        noise = np.random.default_rng(index).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index:03d}.png")
    return folder
