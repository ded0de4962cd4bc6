"""The images of one or two data sets as one row of grey pictures, read when they are asked for."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl.data.render import LUMA

FLAT = 1.0  # grey levels; below this standard deviation there is nothing to compare


class Pictures:
    """Grey pictures of several uint8 sets (n, S, S, 3), numbered through.

    Args:
        sets: memory maps or arrays.
        size: edge in pixels at which they are compared.
    """

    def __init__(self, sets: Sequence[np.ndarray], size: int) -> None:
        self.sets, self.size = list(sets), size
        self.starts = np.cumsum([0, *(len(images) for images in sets)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def grey(self, rows: Tensor) -> Tensor:
        """(n, size, size) float32, 0 to 255."""
        numbers = rows.numpy()
        result = torch.empty(len(numbers), self.size, self.size)
        for images, start, end in zip(self.sets, self.starts[:-1], self.starts[1:], strict=True):
            here = np.flatnonzero((numbers >= start) & (numbers < end))
            if len(here):
                grey = torch.from_numpy(images[numbers[here] - start]).float() @ torch.tensor(LUMA)
                if grey.shape[-1] != self.size:
                    grey = F.interpolate(grey[:, None], (self.size,) * 2, mode="bilinear", antialias=True)[:, 0]
                result[torch.from_numpy(here)] = grey
        return result

    def rgb(self, row: int) -> np.ndarray:
        """(S, S, 3) uint8, in the size it is kept in."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return np.asarray(self.sets[number][row - self.starts[number]])

    def with_content(self) -> Tensor:
        """Rows of the pictures that are not of one colour all over."""
        rows = torch.arange(len(self))
        return torch.cat([part[self.grey(part).flatten(1).std(dim=1) > FLAT] for part in rows.split(512)])
