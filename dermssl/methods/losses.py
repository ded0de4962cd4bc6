"""The losses of the methods, each a few lines of torch.

lightly's ``NTXentLoss`` and ``NegativeCosineSimilarity`` give the same values (tests/methods/test_losses.py) and are
the oracle there; they are not imported here, so that training needs no package beside torch and timm.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(q: Tensor, k: Tensor, queue: Tensor, valid: Tensor, tau: float) -> Tensor:
    """Instance loss, eq. 3: cross-entropy of picking the own key among it and the keys of the queue.

    Args:
        q: (B, D) queries, unit length.
        k: (B, D) their keys, unit length, no gradient.
        queue: (K, D) keys of other images, unit length.
        valid: (K,) or (B, K) bool, which of them count.
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


def nt_xent(
    first: Tensor, second: Tensor, tau: float, every: tuple[Tensor, Tensor] | None = None, before: int = 0
) -> Tensor:
    """NT-Xent, SimCLR's eq. 1: cross-entropy of picking the other view of an image among all other views.

    Args:
        first, second: (B, D) embeddings of two views, of any length.
        tau: temperature.
        every: (N, D) each, those of a larger batch that these are a part of; default: these alone.
        before: how many images of the larger batch come before these.

    Returns:
        () mean over the 2 B views.
    """
    own = F.normalize(torch.cat([first, second]), dim=1)  # (2 B, D)
    z = own if every is None else F.normalize(torch.cat(every), dim=1)  # (2 N, D)
    count = len(z) // 2
    place = before + torch.arange(len(first), device=z.device)
    place = torch.cat([place, place + count])  # of each of our views among all
    logits = (own @ z.T / tau).scatter(1, place[:, None], -torch.inf)  # (2 B, 2 N)
    return F.cross_entropy(logits, (place + count) % len(z))


def cosine_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """BYOL's eq. 2: squared distance of the two at unit length, 2 - 2 cos.

    Args:
        prediction, target: (B, D), of any length.

    Returns:
        () mean over the batch, 0 to 4; lightly's ``NegativeCosineSimilarity`` is -cos, so a learning rate means there
        half of what it means here.
    """
    return 2 - 2 * F.cosine_similarity(prediction, target, dim=1).mean()
