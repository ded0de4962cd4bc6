"""The two losses of the paper."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(q: Tensor, k: Tensor, queue: Tensor, valid: Tensor, tau: float) -> Tensor:
    """Instance loss, eq. 3: cross-entropy of picking the own key among it and the keys of the queue.

    Args:
        q: (B, D) queries, unit length.
        k: (B, D) their keys, unit length, no gradient.
        queue: (K, D) keys of other images, unit length.
        valid: (K,) bool, which of them count.
        tau: temperature.

    Returns:
        () mean over the batch.
    """
    positive = (q * k).sum(1, keepdim=True)  # (B, 1)
    negative = (q @ queue.T).masked_fill(~valid, -torch.inf)  # (B, K)
    logits = torch.cat([positive, negative], dim=1) / tau
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


def rotation_loss(outputs: Tensor, turns: Tensor, activation: str = "sigmoid") -> Tensor:
    """Rotation loss, eq. 1: cross-entropy (softmax inside) on the activated outputs.

    Args:
        outputs: (B, 4) of the rotation head.
        turns: (B,) int64, quarter turns 0 to 3.
        activation: ``"sigmoid"`` as eq. 1 prints it, whose loss cannot fall below log(1 + 3/e) = 0.744, or
            ``"none"``, the plain logits that section 1.3.2 suggests.

    Returns:
        () mean over the batch.
    """
    return F.cross_entropy(outputs.sigmoid() if activation == "sigmoid" else outputs, turns)
