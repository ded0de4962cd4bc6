"""The options of a conversion: what a checkpoint of another program does not say of itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from dermssl.options import LARGEST_EDGE, Options, option


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions(Options):
    """Of a checkpoint; a run knows all of it."""

    backbone: str | None = option(
        None, "Architecture of a checkpoint, by its timm name; needed for one.", metavar="NAME"
    )
    image_size: int | None = option(
        None,
        "Edge in pixels of the images that a checkpoint was trained on.",
        least=1,
        most=LARGEST_EDGE,
        unset="timm's",
    )
    mean: Sequence[float] | None = option(
        None, "Channel means that a checkpoint was trained with, for values in [0, 1].", metavar="R,G,B", unset="timm's"
    )
    std: Sequence[float] | None = option(
        None,
        "Channel deviations that a checkpoint was trained with, for values in [0, 1].",
        metavar="R,G,B",
        unset="timm's",
    )
