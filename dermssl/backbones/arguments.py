"""The options of a conversion: what a checkpoint of another program does not say of itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from dermssl.options import LARGEST_EDGE, Options, option


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions(Options):
    """Of a checkpoint; a run knows all of it."""

    backbone: str | None = option(None, "Architecture of a checkpoint, by its timm name.", metavar="NAME")
    image_size: int | None = option(
        None, "Image size that a checkpoint was trained at.", least=1, most=LARGEST_EDGE, unset="timm's"
    )
    mean: Sequence[float] | None = option(
        None, "Mean that a checkpoint was trained with.", metavar="R,G,B", unset="timm's"
    )
    std: Sequence[float] | None = option(
        None, "Standard deviation that a checkpoint was trained with.", metavar="R,G,B", unset="timm's"
    )
