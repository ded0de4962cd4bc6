"""Projection heads."""

from torch import nn


def mlp_head(width: int, out: int) -> nn.Sequential:
    """FC -> BatchNorm -> ReLU -> FC from (B, width) to (B, out), as both heads of the paper (section 1.2)."""
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Linear(width, out))
