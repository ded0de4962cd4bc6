"""A backbone with one head."""

from torch import Tensor, nn

from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import feature_width
from dermssl.methods.heads import mlp_head


class Encoder(nn.Module):
    """A backbone with an MLP head on its pooled features.

    Args:
        backbone: name of a timm model (created with fresh weights) or a model made by timm with ``num_classes=0``.
        out: D, length of an embedding.
        hidden: width between the head's two layers; default: that of the features.
    """

    def __init__(self, backbone: str | nn.Module, out: int, hidden: int | None = None) -> None:
        super().__init__()
        self.backbone = create_backbone(backbone) if isinstance(backbone, str) else backbone
        self.head = mlp_head(feature_width(self.backbone), out, hidden)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (B, D), not normalised, of images (B, 3, S, S)."""
        return self.head(self.backbone(images))

    forward = embed
