"""The page of a search for duplicates: the pairs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermssl.reporting import page


@dataclass(frozen=True)
class PairPictures:
    """A pair: its two images (H, W, 3) uint8, their names, and what is said of them."""

    first: np.ndarray
    second: np.ndarray
    names: tuple[str, str]
    remark: str
    marked: bool  # one that grouped folds would not keep together


def write_leakage_page(
    path: Path,
    lead: str,
    pairs: Sequence[PairPictures],
    *,
    left_out: int,
    split: tuple[str, list[str], list[list[str]]] | None,
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        lead: the result in a sentence or two.
        pairs: shown in this order.
        left_out: pairs that are not shown.
        split: caption, header and rows of the table of plain against grouped folds.
    """
    rows = [
        (
            pair.remark,
            [
                page.Picture(pair.first, f"image {pair.names[0]}", pair.names[0], marked=pair.marked),
                page.Picture(pair.second, f"image {pair.names[1]}", pair.names[1], marked=pair.marked),
            ],
        )
        for pair in pairs
    ]
    caption = "Framed: not known to be of one lesion, so that folds grouped by lesion do not keep the two together."
    if left_out:
        caption += f" {left_out} more pairs are in pairs.csv."
    blocks = [page.picture_rows(rows, caption)] if rows else [page.prose("None were found.")]
    sections = [("Pairs that show the same photograph", blocks)]
    if split is not None:
        about, header, body = split
        sections.append(("What a plain split overstates", [page.table(header, body, about)]))
    page.write_page(path, "Leakage", lead, sections)
