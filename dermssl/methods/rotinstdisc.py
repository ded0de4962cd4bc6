"""RotInstDisc: rotation prediction and instance discrimination at once.

Liu et al., Dermoscopic images classification based on context and instance-level feature of self-supervised
learning, CAAI Transactions on Intelligent Systems 18(4), 2023.
"""

import math
import textwrap
from typing import ClassVar

import torch
import torch.nn.functional as F
from timm.utils.model import unwrap_model
from torch import Tensor, nn

from dermssl.backbones.create import create_backbone
from dermssl.distributed import gather
from dermssl.methods.choices import KEY_NORMS, MOMENTUM_SCHEDULES, ROTATION_ACTIVATIONS, ROTATION_TASKS
from dermssl.methods.losses import info_nce, rotation_loss
from dermssl.methods.momentum import MomentumEncoder, momentum_at
from dermssl.methods.queue import KeyQueue
from dermssl.methods.task import PretrainingTask
from dermssl.methods.two_heads import TwoHeadEncoder
from dermssl.options import check


class RotInstDisc(PretrainingTask):
    """L = rotation_weight * L_rotation + L_instance (eq. 5), around any timm backbone.

    Args:
        backbone: name of a timm model (created with fresh weights) or a model made by timm with ``num_classes=0``.
        queue_size: K, number of keys kept as negatives (the paper's best in Table 5: 8192).
        temperature: of the instance loss; not printed in the paper.
        momentum: m of the momentum encoder; with a constant schedule it may be changed before any step.
        momentum_schedule: ``"constant"``, or ``"cosine"``: raised to 1 over the run, see ``begin_step``.
        rotation_weight: lambda of eq. 5 (the paper's best in Table 4: 0.1).
        rotation_activation: ``"sigmoid"`` (eq. 1) or ``"none"`` (plain logits).
        rotation_task: which turn is predicted. ``"query"``: that of the query view, from its features (the paper);
            ``"relative"``: that between query and key view, from the features of both; ``"crop"``: that of a third,
            small view, while the query stays upright (E-SSL, Dangovski et al., ICLR 2022).
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

    title = "RotInstDisc"
    summary = (
        "Instance discrimination against a queue of keys from a momentum encoder (MoCo), together with the prediction "
        "by which multiple of 90 degrees a view was turned"
    )
    citation = (
        "Liu et al., Dermoscopic images classification based on context and instance-level feature of self-supervised "
        "learning, CAAI Transactions on Intelligent Systems 18(4): 783-792, 2023"
    )
    bibtex = textwrap.dedent(
        """\
        @article{liu2023dermoscopic,
          title   = {Dermoscopic images classification based on context and instance-level feature of self-supervised
                     learning},
          author  = {Liu, Jiaxuan and Hu, Feiyi and Zhang, Hui and Zhang, Jinzhou and Li, Ling},
          journal = {CAAI Transactions on Intelligent Systems},
          volume  = {18},
          number  = {4},
          pages   = {783--792},
          year    = {2023}
        }"""
    )
    logs: ClassVar[tuple[str, ...]] = ("loss", "loss_instance", "loss_rotation", "rotation_accuracy")
    rotates_query = True
    spans_processes = True
    varies = ("momentum",)
    state_modules = ("key_encoder", "queue")

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        *,
        queue_size: int = 8192,
        temperature: float = 0.2,
        momentum: float = 0.99,
        momentum_schedule: str = "constant",
        rotation_weight: float = 0.1,
        rotation_activation: str = "sigmoid",
        rotation_task: str = "query",
        key_norm: str = "batch",
        embedding_dim: int = 128,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        check("queue_size", queue_size, least=1)
        check("temperature", temperature, above=0)
        check("momentum", momentum, least=0, below=1)
        check("rotation_weight", rotation_weight, least=0)
        check("momentum_schedule", momentum_schedule, choices=MOMENTUM_SCHEDULES)
        check("rotation_activation", rotation_activation, choices=ROTATION_ACTIVATIONS)
        check("rotation_task", rotation_task, choices=ROTATION_TASKS)
        check("key_norm", key_norm, choices=KEY_NORMS)
        self.temperature, self.momentum = temperature, momentum
        self.momentum_start, self.momentum_schedule = momentum, momentum_schedule
        self.rotation_weight, self.rotation_activation = rotation_weight, rotation_activation
        self.rotation_task = rotation_task
        if rotation_task == "crop":
            self.views, self.rotates_query = "crop", False
        model = create_backbone(backbone) if isinstance(backbone, str) else backbone
        encoder = TwoHeadEncoder(model, embedding_dim, pairs=rotation_task == "relative")
        self.trainable_module: nn.Module = encoder.to(self.device, self.dtype)
        self.key_encoder = MomentumEncoder(encoder, key_norm, without=["rotation_head"])
        self.queue = KeyQueue(queue_size, embedding_dim).to(self.device)
        self._chance: Tensor | None = None  # the instance loss of guessing in the last batch

    def begin_step(self, progress: float) -> None:
        """Raise the momentum, where its schedule says so."""
        if self.momentum_schedule != "constant":
            self.momentum = momentum_at(progress, self.momentum_start, self.momentum_schedule)

    def chance_loss(self) -> float:
        """The instance loss of guessing: the log of the number of keys that a query of the last batch chose from."""
        return math.log(int(self.queue.filled) + 1) if self._chance is None else float(self._chance)

    def forward(  # type: ignore[override]
        self, input: tuple[Tensor, ...], target: Tensor, index: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Losses of a batch. In training mode the key encoder moves before, the queue after.

        Args:
            input: query views, turned by ``target`` quarter turns, and key views, not turned: (B, 3, S, S) each. With
                ``rotation_task="crop"`` the query views are upright, and small crops (B, 3, P, P), turned by
                ``target``, are the third.
            target: (B,) int64, quarter turns 0 to 3.
            index: (B,) int64, the numbers of the images in the data set. With them, an image's own older keys are not
                among its negatives; without, every key in the queue is.

        Returns:
            ``loss``, ``loss_instance``, ``loss_rotation``, ``rotation_accuracy``: (), and ``output``: the queries
                (B, D), unit length.
        """
        query_views, key_views, *crops = input
        if self.training:
            self.key_encoder.update(unwrap_model(self.trainable_module), self.momentum)
        keys = self.key_encoder(key_views, "embed_and_features" if self.rotation_task == "relative" else "embed")
        k, key_features = keys.tensor_split([self.queue.keys.shape[1]], dim=1)
        k = F.normalize(k.float(), dim=1)
        with self.key_encoder.queries(len(query_views)):
            if self.rotation_task == "relative":
                embedding, rotation = self.trainable_module(query_views, beside=key_features)
            else:
                embedding, rotation = self.trainable_module(query_views, *crops)
        q = F.normalize(embedding.float(), dim=1)
        with torch.autocast(q.device.type, enabled=False):  # the logits decide the loss: full precision
            valid = self.queue.valid(index)
            self._chance = (valid.expand(len(q), -1).sum(1) + 1.0).log().mean()
            # a copy, for enqueue writes into the buffer before backward reads it
            loss_instance = info_nce(q, k, self.queue.keys.clone(), valid, self.temperature)
            loss_rotation = rotation_loss(rotation.float(), target, self.rotation_activation)
        if self.training:
            self.queue.enqueue(gather(k), None if index is None else gather(index))
        return {
            "loss": self.rotation_weight * loss_rotation + loss_instance,
            "loss_instance": loss_instance.detach(),
            "loss_rotation": loss_rotation.detach(),
            "rotation_accuracy": (rotation.detach().argmax(1) == target).float().mean(),
            "output": q,
        }
