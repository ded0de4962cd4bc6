"""How strongly images are changed in training; known without torch, so that a recipe can name it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ViewPolicy:
    """How strongly a view is changed.

    Args:
        crop_scale: smallest share of the image's area that a crop keeps, in (0, 1]; the largest is 1.
        flip: ``"horizontal"`` (default), ``"both"`` or ``"none"``. Horizontal and vertical flips together are the
            turn by 180 degrees: with both on, 0 and 180 degrees cannot be told apart and no network can predict
            the rotation better than half of the time.
        brightness, contrast, saturation: a factor is drawn from [1 - value, 1 + value].
        hue: a shift is drawn from [-value, value], in turns of the colour circle.
        jitter_probability: share of the views whose colour is changed at all.
        grayscale: share of the views that lose their colour.
    """

    crop_scale: float = 0.2
    flip: str = "horizontal"
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jitter_probability: float = 0.8
    grayscale: float = 0.2
