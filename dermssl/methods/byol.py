"""BYOL: a view predicts what a momentum encoder makes of the other view; no negatives.

Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, NeurIPS 2020.
"""

import torch
import torch.nn.functional as F
from timm.utils.model import unwrap_model
from torch import Tensor, nn

from dermssl.distributed import gather
from dermssl.methods.choices import KEY_NORMS, MOMENTUM_SCHEDULES
from dermssl.methods.encoder import Encoder
from dermssl.methods.heads import mlp_head
from dermssl.methods.losses import cosine_distance
from dermssl.methods.momentum import MomentumEncoder, momentum_at
from dermssl.methods.task import PretrainingTask
from dermssl.options import check


class PredictingEncoder(nn.Module):
    """An encoder and a predictor on top of its embeddings."""

    def __init__(self, backbone: str | nn.Module, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.encoder = Encoder(backbone, embedding_dim, hidden_dim)
        self.predictor = mlp_head(embedding_dim, embedding_dim, hidden_dim)

    @property
    def backbone(self) -> nn.Module:
        """The encoder's."""
        return self.encoder.backbone

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (B, D) of the views (B, 3, S, S); each kind of view has its own batch statistics."""
        return self.predictor(self.encoder(first)), self.predictor(self.encoder(second))


class BYOL(PretrainingTask):
    """Both views predict the momentum encoder's embedding of the other.

    Args:
        backbone: name of a timm model (created with fresh weights) or a model made by timm with ``num_classes=0``.
        momentum: of the momentum encoder; with a constant schedule it may be changed before any step. BYOL's rises
            from 0.996 to 1 (``--momentum 0.996 --momentum-schedule cosine``).
        momentum_schedule: ``"constant"``, or ``"cosine"``: raised to 1 over the run, see ``begin_step``.
        key_norm: BatchNorm of the momentum encoder, see ``MomentumEncoder``; BYOL's is ``"batch"``.
        embedding_dim: D, length of an embedding.
        hidden_dim: width of the hidden layers of projector and predictor.
        device, dtype, verbose: as in ``timm.task.TrainingTask``.
    """

    title = "BYOL"
    summary = "A view predicts a momentum encoder's embedding of the other view; no negatives"
    citation = "Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, NeurIPS 2020"
    logs = ("loss", "spread")
    spans_processes = True
    varies = ("momentum",)
    state_modules = ("key_encoder",)

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        *,
        momentum: float = 0.99,
        momentum_schedule: str = "constant",
        key_norm: str = "batch",
        embedding_dim: int = 256,
        hidden_dim: int = 4096,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        check("momentum", momentum, least=0, below=1)
        check("momentum_schedule", momentum_schedule, choices=MOMENTUM_SCHEDULES)
        check("key_norm", key_norm, choices=KEY_NORMS)
        self.momentum = self.momentum_start = momentum
        self.momentum_schedule = momentum_schedule
        network = PredictingEncoder(backbone, embedding_dim, hidden_dim).to(self.device, self.dtype)
        self.trainable_module = network
        self.key_encoder = MomentumEncoder(network.encoder, key_norm)

    def begin_step(self, progress: float) -> None:
        """Raise the momentum, where its schedule says so."""
        if self.momentum_schedule != "constant":
            self.momentum = momentum_at(progress, self.momentum_start, self.momentum_schedule)

    def forward(self, input: tuple[Tensor, Tensor], target: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Loss of a batch. In training mode the momentum encoder moves before.

        Args:
            input: two views of each image, (B, 3, S, S) each.
            target: not used.

        Returns:
            ``loss``: (), 0 to 8; ``spread``: (), of the momentum encoder's embeddings over their directions, 0 where
            all have become the same and about 1 where they point everywhere; ``output``: the predictions of the first
            views (B, D).
        """
        if self.training:
            self.key_encoder.update(unwrap_model(self.trainable_module).encoder, self.momentum)
        targets = [F.normalize(self.key_encoder(view).float(), dim=1) for view in input]
        with self.key_encoder.queries(len(input[0])):
            predictions = self.trainable_module(*input)
        first, second = (prediction.float() for prediction in predictions)
        with torch.autocast(first.device.type, enabled=False):
            loss = cosine_distance(first, targets[1]) + cosine_distance(second, targets[0])
        spread = gather(targets[0]).var(0, correction=0).sum().sqrt()
        return {"loss": loss, "spread": spread, "output": first}
