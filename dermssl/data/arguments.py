"""The options of ``prepare``, and of whatever reads labelled images: of the Python calls and their commands alike."""

from dataclasses import dataclass

from dermssl.options import FITS, LARGEST_EDGE, MOST_WORKERS, Fit, Options, option


@dataclass(frozen=True, kw_only=True)
class ColumnOptions(Options):
    """Of everything that asks for the class or the lesion of an image."""

    label: str | None = option(
        None, "Column of the data's table that holds the class.", metavar="COLUMN", unset="the layout's own"
    )
    group: str | None = option(
        None,
        "Column of the data's table that holds the lesion or the patient.",
        metavar="COLUMN",
        unset="the layout's own",
    )


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(ColumnOptions):
    """Of ``prepare``."""

    size: int = option(256, "Edge of the square images, in pixels.", least=8, most=LARGEST_EDGE)
    fit: Fit = option(
        "squash",
        "squash: both sides to SIZE, as the paper does. crop: the shorter side to SIZE, then the middle square.",
        choices=FITS,
    )
    workers: int | None = option(
        None, "Number of threads that decode images.", least=1, most=MOST_WORKERS, unset="one per CPU core"
    )
    max_bad: float = option(0.05, "Largest share of unreadable images that is accepted.", least=0, most=1)
    progress: bool = option(True, "Show progress on standard error.", command=False)
