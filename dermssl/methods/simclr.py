"""SimCLR: two views of an image find each other among all views of the batch.

Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020.
"""

import math

import torch
from torch import Tensor, nn

from dermssl import distributed
from dermssl.methods.encoder import Encoder
from dermssl.methods.losses import nt_xent
from dermssl.methods.task import PretrainingTask
from dermssl.options import check


class SimCLR(PretrainingTask):
    """NT-Xent between the two views, negatives from the batch, that of all processes.

    Both views go through the network in one batch, as in the authors' code: BatchNorm sees them together.

    Args:
        backbone: name of a timm model (created with fresh weights) or a model made by timm with ``num_classes=0``.
        temperature: tau; SimCLR's best is 0.1 for batches of 4096 on ImageNet and 0.5 for CIFAR-10.
        embedding_dim: D, as SimCLR's; the head's hidden layer is as wide as the features, as in the authors' code
            (2048 for its ResNet50).
        device, dtype, verbose: as in ``timm.task.TrainingTask``.
    """

    title = "SimCLR"
    summary = "Two views of an image find each other among all views of the batch"
    citation = "Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020"
    logs = ("loss",)
    spans_processes = True

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        *,
        temperature: float = 0.2,
        embedding_dim: int = 128,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        check("temperature", temperature, above=0)
        self.temperature = temperature
        self.trainable_module = Encoder(backbone, embedding_dim).to(self.device, self.dtype)
        self._choices = 1  # views that a view of the last batch was to be found among

    def chance_loss(self) -> float:
        """The loss of guessing: the log of the number of views to choose from."""
        return math.log(self._choices)

    def forward(self, input: tuple[Tensor, Tensor], target: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Loss of a batch.

        Args:
            input: two views of each image, (B, 3, S, S) each.
            target: not used.

        Returns:
            ``loss``: (), and ``output``: the embeddings of the first views (B, D).
        """
        first, second = self.trainable_module(torch.cat(input)).float().chunk(2)
        with torch.autocast(first.device.type, enabled=False):
            every = None
            if distributed.world_size() > 1:
                every = distributed.gather_with_gradient(first), distributed.gather_with_gradient(second)
            self._choices = 2 * len(first) * distributed.world_size() - 1
            loss = nt_xent(first, second, self.temperature, every, before=distributed.rank() * len(first))
        return {"loss": loss, "output": first}
