"""Rotation prediction alone.

Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018; with the loss of Liu et
al. 2023 (eq. 1).
"""

import torch
from torch import Tensor, nn

from dermssl.methods.choices import ROTATION_ACTIVATIONS
from dermssl.methods.encoder import Encoder
from dermssl.methods.losses import rotation_loss
from dermssl.methods.task import PretrainingTask
from dermssl.options import check


class Rotation(PretrainingTask):
    """Names the quarter turns of a view. Gidaris et al. see all four turns of an image in a batch, this one of them,
    as RotInstDisc does: four epochs here are one of theirs, in images and in time.

    Args:
        backbone: name of a timm model (created with fresh weights) or a model made by timm with ``num_classes=0``.
        rotation_activation: ``"sigmoid"`` (eq. 1) or ``"none"`` (plain logits, as Gidaris et al.).
        device, dtype, verbose: as in ``timm.task.TrainingTask``.
    """

    title = "Rotation"
    summary = "Prediction by which multiple of 90 degrees a view was turned"
    citation = (
        "Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018; with the loss "
        "of Liu et al., CAAI Transactions on Intelligent Systems 18(4): 783-792, 2023"
    )
    logs = ("loss", "rotation_accuracy")
    views = "one"
    rotates_query = True
    spans_processes = True

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        *,
        rotation_activation: str = "sigmoid",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        check("rotation_activation", rotation_activation, choices=ROTATION_ACTIVATIONS)
        self.rotation_activation = rotation_activation
        self.trainable_module = Encoder(backbone, 4).to(self.device, self.dtype)

    def forward(self, input: tuple[Tensor, ...], target: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Loss of a batch.

        Args:
            input: views (B, 3, S, S), turned by ``target`` quarter turns; more views are not looked at.
            target: (B,) int64, quarter turns 0 to 3.

        Returns:
            ``loss``, ``rotation_accuracy``: (), and ``output`` (B, 4).
        """
        outputs = self.trainable_module(input[0])
        with torch.autocast(outputs.device.type, enabled=False):
            loss = rotation_loss(outputs.float(), target, self.rotation_activation)
        accuracy = (outputs.detach().argmax(1) == target).float().mean()
        return {"loss": loss, "rotation_accuracy": accuracy, "output": outputs}
