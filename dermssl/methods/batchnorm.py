"""BatchNorm over groups of a batch, in one pass: each image is normalised by the statistics of its group alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class GroupedBatchNorm(TorchFunctionMode):
    """A context in which every BatchNorm in training mode sees the batch as groups.

    The groups become channels, as in MoCo's split BatchNorm: one call normalises all of them. The running statistics
    take the mean over the groups. It holds for any module that calls ``F.batch_norm``; no module is replaced, so the
    names in a state stay as they are.

    Args:
        images: B, number of images in the batch.
        groups: G, a divisor of it.
        strided: the groups are the images 0, G, 2 G, ..., then 1, G + 1, ...; else runs of B / G neighbours.
    """

    def __init__(self, images: int, groups: int, *, strided: bool = False) -> None:
        super().__init__()
        self.images, self.groups, self.strided = images, groups, strided

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Normalise by groups where ``func`` normalises by batches."""
        if func is F.batch_norm and self.groups > 1:
            return self._normalise(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _normalise(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)

        def repeated(statistic: Tensor | None) -> Tensor | None:
            return None if statistic is None else statistic.repeat(self.groups)

        mean, var = repeated(running_mean), repeated(running_var)
        y = F.batch_norm(self._join(x), mean, var, repeated(weight), repeated(bias), training, momentum, eps)
        with torch.no_grad():
            for running, by_group in ((running_mean, mean), (running_var, var)):
                if running is not None and by_group is not None:
                    running.copy_(by_group.view(self.groups, -1).mean(0))
        y = self._part(y, x.shape[1])
        channels_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        return y.contiguous(memory_format=torch.channels_last) if channels_last else y

    def _join(self, x: Tensor) -> Tensor:
        """(B T, C, ...) -> (B T / G, G C, ...); T rows of an image lie together, such as tokens."""
        rows = (self.images // self.groups, self.groups) if self.strided else (self.groups, self.images // self.groups)
        return x.unflatten(0, (*rows, -1)).movedim(1 if self.strided else 0, 2).flatten(2, 3).flatten(0, 1)

    def _part(self, y: Tensor, channels: int) -> Tensor:
        """Undo ``_join``."""
        y = y.unflatten(1, (self.groups, channels)).unflatten(0, (self.images // self.groups, -1))
        return y.movedim(2, 1 if self.strided else 0).flatten(0, 2)
