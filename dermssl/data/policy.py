"""How strongly images are changed in training; known without torch, so that ``pretrain`` has its fields as options."""

from dataclasses import dataclass

from dermssl.options import FLIPS, Options, option


@dataclass(frozen=True, kw_only=True)
class ViewPolicy(Options):
    """How strongly a view is changed.

    Of brightness, contrast and saturation a factor is drawn from [1 - strength, 1 + strength], of hue a shift from
    [-strength, strength]. Horizontal and vertical flips together are the turn by 180 degrees: with both on, 0 and 180
    degrees cannot be told apart, and no network predicts the rotation better than half of the time.
    """

    crop_scale: float = option(0.2, "Smallest share of the image's area that a view keeps.", above=0, most=1)
    flip: str = option(
        "horizontal",
        "Random flips; both together amount to half turns, which blinds the rotation task.",
        choices=FLIPS,
    )
    brightness: float = option(0.4, "Strength of the brightness change.", least=0, most=1)
    contrast: float = option(0.4, "Strength of the contrast change.", least=0, most=1)
    saturation: float = option(0.4, "Strength of the saturation change.", least=0, most=1)
    hue: float = option(0.1, "Strength of the hue change, in turns of the colour circle.", least=0, most=0.5)
    grayscale: float = option(0.2, "Share of the views that lose their colour.", least=0, most=1)
