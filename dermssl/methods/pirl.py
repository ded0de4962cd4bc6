"""PIRL: an image and the shuffled patches of it must match the memory of that image.

Misra and van der Maaten, Self-Supervised Learning of Pretext-Invariant Representations, CVPR 2020.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import feature_width
from dermssl.distributed import gather
from dermssl.errors import DermsslError
from dermssl.methods.losses import info_nce
from dermssl.methods.memory_bank import MemoryBank
from dermssl.methods.task import PretrainingTask
from dermssl.options import check


class PuzzleEncoder(nn.Module):
    """A backbone with the paper's linear heads: f for images, g for the nine patches of an image in their order."""

    def __init__(self, backbone: str | nn.Module, embedding_dim: int) -> None:
        super().__init__()
        self.backbone = create_backbone(backbone) if isinstance(backbone, str) else backbone
        width = feature_width(self.backbone)
        self.image_head = nn.Linear(width, embedding_dim)
        self.patch_head = nn.Linear(width, embedding_dim)
        self.puzzle_head = nn.Linear(9 * embedding_dim, embedding_dim)

    def forward(self, images: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, D) of images (B, 3, S, S), and (B, D) of their patches (9 B, 3, P, P)."""
        of_patches = self.patch_head(self.backbone(patches))
        return self.image_head(self.backbone(images)), self.puzzle_head(of_patches.reshape(len(images), -1))


class PIRL(PretrainingTask):
    """L = patch_weight * L_NCE(memory, patches) + (1 - patch_weight) * L_NCE(memory, image) (PIRL, eq. 5).

    Two things differ from the paper. L_NCE is InfoNCE, one softmax over the image's memory and the negatives, instead
    of the paper's sum of K + 1 binary losses: the form of the other methods here, with a loss of guessing that is
    known. And an image's first memory is its own embedding, not noise, and images not yet seen are not negatives.

    Args:
        backbone: name of a timm model (created with fresh weights) or a model made by timm with ``num_classes=0``.
        images: N, number of images in the data set; ``target`` counts them from 0.
        queue_size: K, number of negatives drawn from the memory in a step (PIRL: 32,000 of 1.28 million).
        temperature: PIRL's is 0.07.
        patch_weight: lambda of eq. 5, the weight of the patches; the paper's value.
        memory_momentum: m of the memory, the paper's value; it moves once per epoch, so it has nothing in common
            with that of momentum encoders.
        embedding_dim: D, length of an embedding; the paper's value.
        device, dtype, verbose: as in ``timm.task.TrainingTask``.
    """

    title = "PIRL"
    summary = "An image and its shuffled patches match the memory of the image"
    citation = "Misra and van der Maaten, Self-Supervised Learning of Pretext-Invariant Representations, CVPR 2020"
    logs = ("loss", "loss_patches", "loss_image")
    views = "jigsaw"
    spans_processes = True
    state_modules = ("memory",)

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        *,
        images: int,
        queue_size: int = 8192,
        temperature: float = 0.07,
        patch_weight: float = 0.5,
        memory_momentum: float = 0.5,
        embedding_dim: int = 128,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        if images < 2:
            raise DermsslError(f"PIRL draws its negatives from the other images of the data set: {images} are too few")
        check("queue_size", queue_size, least=1)
        check("temperature", temperature, above=0)
        check("patch_weight", patch_weight, least=0, most=1)
        check("memory_momentum", memory_momentum, least=0, below=1)
        self.queue_size, self.temperature = queue_size, temperature
        self.patch_weight, self.memory_momentum = patch_weight, memory_momentum
        self.trainable_module = PuzzleEncoder(backbone, embedding_dim).to(self.device, self.dtype)
        self.memory = MemoryBank(images, embedding_dim).to(self.device)

    def chance_loss(self) -> float:
        """The loss of guessing: the log of the number of memories to choose from."""
        seen, images = int(self.memory.seen.sum()), len(self.memory.seen)
        drawn = min(self.queue_size, images)
        return math.log(drawn * max(0, seen - 1) / images + 1)  # of those drawn, the share that counts

    def forward(self, input: tuple[Tensor, Tensor], target: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Losses of a batch. In training mode the memory moves after.

        Args:
            input: views (B, 3, S, S) and nine shuffled patches of each, one after another (9 B, 3, P, P).
            target: (B,) int64, which images of the data set they are, each at most once.

        Returns:
            ``loss``, ``loss_patches``, ``loss_image``: (), and ``output``: the embeddings of the views (B, D), unit
            length.
        """
        image, patches = (F.normalize(v.float(), dim=1) for v in self.trainable_module(*input))
        with torch.autocast(image.device.type, enabled=False):
            memory = self.memory.read(target, image.detach())
            negatives, valid = self.memory.draw(self.queue_size, target)
            loss_patches = info_nce(patches, memory, negatives, valid, self.temperature)
            loss_image = info_nce(image, memory, negatives, valid, self.temperature)
            if self.training:
                self.memory.update(gather(target), gather(image.detach()), self.memory_momentum)
        return {
            "loss": self.patch_weight * loss_patches + (1 - self.patch_weight) * loss_image,
            "loss_patches": loss_patches.detach(),
            "loss_image": loss_image.detach(),
            "output": image,
        }
