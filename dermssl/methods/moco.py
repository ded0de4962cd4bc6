"""MoCo: instance discrimination against a queue of keys, RotInstDisc without the rotation.

He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020; with the MLP head of MoCo v2
(Chen et al. 2020).
"""

import torch
from torch import Tensor, nn

from dermssl.methods.rotinstdisc import RotInstDisc


class MoCo(RotInstDisc):
    """The instance loss of RotInstDisc alone: rotation weight 0, no view is turned.

    The rotation head stays and gets no gradient, so that runs of the two start from the same weights. Where MoCo v2
    has FC -> ReLU -> FC as its head, this has the paper's, with BatchNorm between: one head for all methods compared.

    Args:
        backbone: name of a timm model (created with fresh weights) or a model made by timm with ``num_classes=0``.
        queue_size: K, number of keys kept as negatives.
        temperature: of the instance loss; MoCo v2's.
        momentum, momentum_schedule: of the momentum encoder.
        key_norm: BatchNorm of the momentum encoder, see ``MomentumEncoder``.
        embedding_dim: D, length of queries and keys.
        device, dtype, verbose: as in ``timm.task.TrainingTask``.
    """

    title = "MoCo"
    summary = "Instance discrimination against a queue of keys from a momentum encoder"
    citation = (
        "He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020; with the MLP head of "
        "MoCo v2, Chen et al., Improved Baselines with Momentum Contrastive Learning, 2020"
    )
    bibtex = ""
    logs = ("loss", "loss_instance")
    rotates_query = False

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        *,
        queue_size: int = 8192,
        temperature: float = 0.2,
        momentum: float = 0.99,
        momentum_schedule: str = "constant",
        key_norm: str = "batch",
        embedding_dim: int = 128,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            backbone,
            queue_size=queue_size,
            temperature=temperature,
            momentum=momentum,
            momentum_schedule=momentum_schedule,
            rotation_weight=0.0,
            key_norm=key_norm,
            embedding_dim=embedding_dim,
            device=device,
            dtype=dtype,
            verbose=verbose,
        )

    def forward(  # type: ignore[override]
        self, input: tuple[Tensor, ...], target: Tensor, index: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            input: query views and key views, (B, 3, S, S) each.
            target: (B,) int64, zeros: no view is turned.
            index: (B,) int64, the numbers of the images, as in ``RotInstDisc``.

        Returns:
            ``loss`` and ``loss_instance``, which are the same: (), and ``output``: the queries (B, D), unit length.
        """
        result = super().forward(input, target, index)
        return {name: value for name, value in result.items() if "rotation" not in name}
