"""RotInstDisc: rotation prediction and instance discrimination at once.

Liu et al., Dermoscopic images classification based on context and instance-level feature of self-supervised
learning, CAAI Transactions on Intelligent Systems 18(4), 2023.
"""

import math

import torch
import torch.nn.functional as F
from timm.utils.model import unwrap_model
from torch import Tensor, nn

from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import feature_width
from dermssl.distributed import gather
from dermssl.methods.heads import mlp_head
from dermssl.methods.losses import ROTATION_ACTIVATIONS, info_nce, rotation_loss
from dermssl.methods.momentum import KEY_NORMS, MomentumEncoder
from dermssl.methods.queue import KeyQueue
from dermssl.methods.task import PretrainingTask, require


class TwoHeadEncoder(nn.Module):
    """A backbone with an instance head and a rotation head on its pooled features: one forward feeds both."""

    def __init__(self, backbone: nn.Module, embedding_dim: int) -> None:
        super().__init__()
        width = feature_width(backbone)
        self.backbone = backbone
        self.instance_head = mlp_head(width, embedding_dim)
        self.rotation_head = mlp_head(width, 4)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (B, D), not normalised, of images (B, 3, S, S)."""
        return self.instance_head(self.backbone(images))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, D) and rotation outputs (B, 4) of images (B, 3, S, S)."""
        features = self.backbone(images)
        return self.instance_head(features), self.rotation_head(features)


class RotInstDisc(PretrainingTask):
    """L = rotation_weight * L_rotation + L_instance (eq. 5), around any timm backbone.

    Args:
        backbone: name of a timm model (created with fresh weights) or a model made by timm with ``num_classes=0``.
        queue_size: K, number of keys kept as negatives (the paper's best in Table 5: 8192).
        temperature: of the instance loss; not printed in the paper.
        momentum: m of the momentum encoder; may be set anew before any step.
        rotation_weight: lambda of eq. 5 (the paper's best in Table 4: 0.1).
        rotation_activation: ``"sigmoid"`` (eq. 1) or ``"none"`` (plain logits).
        key_norm: BatchNorm of the key encoder: ``"batch"``, ``"ema"`` or ``"shuffle"``, see ``MomentumEncoder``.
        embedding_dim: D, length of queries and keys.
        device, dtype, verbose: as in ``timm.task.TrainingTask``.

    Raises:
        DermsslError: an argument is out of its range.

    Example:
        >>> task = RotInstDisc("resnet18", queue_size=1024)
        >>> query, key = torch.randn(2, 8, 3, 64, 64)
        >>> task((query, key), torch.randint(4, (8,)))["loss"].backward()
    """

    rotates_query = True
    distributed = True
    state_modules = ("key_encoder", "queue")

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        *,
        queue_size: int = 8192,
        temperature: float = 0.2,
        momentum: float = 0.99,
        rotation_weight: float = 0.1,
        rotation_activation: str = "sigmoid",
        key_norm: str = "batch",
        embedding_dim: int = 128,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        require(queue_size >= 1, f"queue_size is {queue_size}; it must be 1 or more")
        require(temperature > 0, f"temperature is {temperature}; it must be above 0")
        require(0 <= momentum < 1, f"momentum is {momentum}; it must be in [0, 1)")
        require(rotation_weight >= 0, f"rotation_weight is {rotation_weight}; it must be 0 or more")
        require(key_norm in KEY_NORMS, f"key_norm is {key_norm!r}; use one of {', '.join(KEY_NORMS)}")
        require(
            rotation_activation in ROTATION_ACTIVATIONS,
            f"rotation_activation is {rotation_activation!r}; use one of {', '.join(ROTATION_ACTIVATIONS)}",
        )
        self.temperature, self.momentum = temperature, momentum
        self.rotation_weight, self.rotation_activation = rotation_weight, rotation_activation
        model = create_backbone(backbone) if isinstance(backbone, str) else backbone
        self.trainable_module: nn.Module = TwoHeadEncoder(model, embedding_dim).to(self.device, self.dtype)
        self.key_encoder = MomentumEncoder(self.trainable_module, key_norm)
        self.queue = KeyQueue(queue_size, embedding_dim).to(self.device)

    def chance_loss(self) -> float:
        """The instance loss of guessing: the log of the number of keys to choose from."""
        return math.log(int(self.queue.filled) + 1)

    def forward(self, input: tuple[Tensor, Tensor], target: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Losses of a batch. In training mode the key encoder moves before, the queue after.

        Args:
            input: query views, turned by ``target`` quarter turns, and key views, not turned: (B, 3, S, S) each.
            target: (B,) int64, quarter turns 0 to 3.

        Returns:
            ``loss``, ``loss_instance``, ``loss_rotation``, ``rotation_accuracy``: (), and ``output``: the queries
            (B, D), unit length.
        """
        query_views, key_views = input
        if self.training:
            self.key_encoder.update(unwrap_model(self.trainable_module), self.momentum)
        k = F.normalize(self.key_encoder(key_views).float(), dim=1)
        embedding, rotation = self.trainable_module(query_views)
        q = F.normalize(embedding.float(), dim=1)
        with torch.autocast(q.device.type, enabled=False):  # the logits decide the loss: full precision
            # a copy, for enqueue writes into the buffer before backward reads it
            loss_instance = info_nce(q, k, self.queue.keys.clone(), self.queue.valid(), self.temperature)
            loss_rotation = rotation_loss(rotation.float(), target, self.rotation_activation)
        if self.training:
            self.queue.enqueue(gather(k))
        return {
            "loss": self.rotation_weight * loss_rotation + loss_instance,
            "loss_instance": loss_instance.detach(),
            "loss_rotation": loss_rotation.detach(),
            "rotation_accuracy": (rotation.detach().argmax(1) == target).float().mean(),
            "output": q,
        }
