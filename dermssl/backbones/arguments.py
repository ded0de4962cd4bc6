"""What a WEIGHTS argument may be, and the options of a conversion; known without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from dermssl.options import LARGEST_EDGE, Options, option

# what WEIGHTS may be
SPELLINGS = (
    "a run directory, an exported directory, a .safetensors file, hf-hub:ORG/NAME[@REVISION], "
    "timm:NAME (weights that timm publishes) or random:NAME"
)


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
