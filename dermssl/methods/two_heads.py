"""A backbone with an instance head and a rotation head."""

import torch
from torch import Tensor, nn

from dermssl.backbones.facts import feature_width
from dermssl.methods.heads import mlp_head


class TwoHeadEncoder(nn.Module):
    """Both heads on the same pooled features: one forward feeds both.

    Args:
        backbone: a model made by timm with ``num_classes=0``.
        embedding_dim: D, length of an embedding.
        pairs: the rotation head sees the features of two views of an image side by side.
    """

    def __init__(self, backbone: nn.Module, embedding_dim: int, *, pairs: bool = False) -> None:
        super().__init__()
        width = feature_width(backbone)
        self.backbone = backbone
        self.instance_head = mlp_head(width, embedding_dim)
        self.rotation_head = mlp_head(2 * width if pairs else width, 4, width)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (B, D), not normalised, of images (B, 3, S, S)."""
        return self.instance_head(self.backbone(images))

    def embed_and_features(self, images: Tensor) -> Tensor:
        """Embeddings and, after them, features of images (B, 3, S, S): (B, D + W)."""
        features = self.backbone(images)
        return torch.cat([self.instance_head(features), features], dim=1)

    def forward(
        self, images: Tensor, turned: Tensor | None = None, beside: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Embeddings (B, D) of images (B, 3, S, S), and rotation outputs (B, 4).

        Args:
            turned: (B, 3, P, P) the views whose turn is told; default: the images.
            beside: (B, W) features of another view that the rotation head sees beside those of the images.
        """
        features = self.backbone(images)
        told = features if turned is None else self.backbone(turned)
        if beside is not None:
            told = torch.cat([told, beside.to(told.dtype)], dim=1)
        return self.instance_head(features), self.rotation_head(told)
