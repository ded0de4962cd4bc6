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
        backbone, queue_size, temperature, momentum, key_norm, embedding_dim, device, dtype, verbose: as in
            ``RotInstDisc``.
    """

    rotates_query = False

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        *,
        queue_size: int = 8192,
        temperature: float = 0.2,
        momentum: float = 0.99,
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
            rotation_weight=0.0,
            key_norm=key_norm,
            embedding_dim=embedding_dim,
            device=device,
            dtype=dtype,
            verbose=verbose,
        )

    def forward(self, input: tuple[Tensor, Tensor], target: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Loss of a batch.

        Args:
            input: query views and key views, (B, 3, S, S) each.
            target: (B,) int64, zeros: no view is turned.

        Returns:
            ``loss`` and ``loss_instance``, which are the same: (), and ``output``: the queries (B, D), unit length.
        """
        result = super().forward(input, target)
        return {name: value for name, value in result.items() if "rotation" not in name}
