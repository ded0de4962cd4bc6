"""Projection heads."""

from torch import nn


def mlp_head(width: int, out: int, hidden: int | None = None) -> nn.Sequential:
    """FC -> BatchNorm -> ReLU -> FC from (B, width) to (B, out).

    With the default, ``hidden=width``, both heads of the paper (section 1.2), and SimCLR's; with 4096 BYOL's.
    lightly's heads of these names compute the same; they are not used so that training needs torch and timm only.
    """
    hidden = hidden or width
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out)
    )
