"""The options of ``prepare``: of the Python call and of its command alike."""

from dataclasses import dataclass

from dermssl.options import FITS, LARGEST_EDGE, MOST_WORKERS, Fit, Options, option


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(Options):
    """Of ``prepare``."""

    size: int = option(256, "Edge length of the square images, in pixels.", least=8, most=LARGEST_EDGE)
    fit: Fit = option(
        "squash",
        "squash: both sides to SIZE, as the paper does. crop: the shorter side to SIZE, then the middle square.",
        choices=FITS,
    )
    workers: int | None = option(None, "Threads that decode.", least=1, most=MOST_WORKERS, unset="one per CPU core")
    max_bad: float = option(0.05, "Share of unreadable images above which this is an error.", least=0, most=1)
    label: str | None = option(
        None, "Column of DATA's tables that holds the class.", metavar="COLUMN", unset="as its layout has it"
    )
    group: str | None = option(
        None,
        "Column of DATA's tables that holds the lesion or the patient.",
        metavar="COLUMN",
        unset="as its layout has it",
    )
    progress: bool = option(True, "Show progress on standard error.", command=False)
