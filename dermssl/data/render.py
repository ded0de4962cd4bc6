"""From what was drawn for a view to its pixels, a batch at a time.

All geometry (crop, flip, rotation) is one affine map per image and one ``grid_sample``; all colour (brightness,
contrast, saturation, hue, grayscale, normalisation) is one 3x4 matrix per image: a batch costs two passes over its
pixels, whatever the number of images.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-R 601 luma, as PIL and torchvision use for grayscale, contrast and saturation
LUMA = (0.299, 0.587, 0.114)


class ViewParameters(NamedTuple):
    """What was drawn for each image of a batch; every field is (B,), float32 unless said otherwise.

    The crop is centred at (``x``, ``y``) in [-1, 1] with ``width`` and ``height`` as shares of the image's edges.
    ``flip_x`` and ``flip_y`` are 1 or -1. ``turns`` (int64) counts the counter-clockwise turns by 90 degrees, made
    after crop and flip: the rotation label.
    """

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    flip_x: Tensor
    flip_y: Tensor
    turns: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grayscale: Tensor


class Renderer:
    """Makes views of one size. Its constants are made once: a step copies nothing from the host.

    Args:
        size: edge of the views in pixels.
        mean, std: of the three channels, for values in [0, 1].
        device: of the images.
    """

    def __init__(self, size: int, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> None:
        self.size, self.device = size, device
        self._steps = steps(size, device)
        self._mean, self._std = torch.tensor(mean, device=device), torch.tensor(std, device=device)
        self._range = [(-m / s, (1 - m) / s) for m, s in zip(mean, std, strict=True)]
        self._scale = 255 * self._std[:, None]
        self._luma = torch.tensor(LUMA, device=device)
        self._identity = torch.eye(3, device=device)
        self._grey = self._luma.expand(3, 3)  # rgb -> (luma, luma, luma)

    def __call__(self, images: Tensor, parameters: ViewParameters) -> Tensor:
        """The views of ``images`` for given parameters.

        Args:
            images: (B, 3, S, S) float, values 0 to 255.
            parameters: of B views.

        Returns:
            (B, 3, size, size) float, normalised; clamped to the range that [0, 1] has after normalisation.
        """
        grid = self.grid(parameters)
        return self.recolour(F.grid_sample(images, grid, padding_mode="border", align_corners=False), parameters)

    def grid(self, parameters: ViewParameters) -> Tensor:
        """(B, size, size, 2): where the pixels of views lie in their images, whose edges are at -1 and 1."""
        return sampling_grid(geometry(parameters), self._steps)

    def recolour(self, images: Tensor, parameters: ViewParameters) -> Tensor:
        """Change the colours of images (B, 3, H, W), values 0 to 255, and normalise them; as in ``__call__``."""
        pixels = images.flatten(2)
        matrix, offset = self._colours(parameters, pixels.mean(2) / 255)
        shift, matrix = ((offset - self._mean) / self._std)[:, :, None], matrix / self._scale
        if torch.compiler.is_compiling():  # sums that the pass over the pixels takes in; a product would be one more
            view = (matrix[:, :, :, None] * pixels[:, None]).sum(2) + shift
        else:
            view = torch.baddbmm(shift, matrix, pixels)
        for channel, (low, high) in enumerate(self._range):
            view[:, channel].clamp_(low, high)
        return view.unflatten(2, images.shape[2:])

    def _colours(self, p: ViewParameters, mean_colour: Tensor) -> tuple[Tensor, Tensor]:
        """Brightness, contrast, saturation, hue and grayscale, in this order, as one affine map of RGB per image.

        Args:
            mean_colour: (B, 3) mean RGB of each view before any change, in [0, 1]; contrast pulls towards its luma.

        Returns:
            matrix (B, 3, 3) and offset (B, 3), for values in [0, 1].
        """
        saturation, grayscale = p.saturation[:, None, None], p.grayscale[:, None, None]
        after_contrast = (1 - grayscale) * _hue_rotation(p.hue) + grayscale * self._grey
        after_contrast = after_contrast @ (saturation * self._identity + (1 - saturation) * self._grey)

        matrix = (p.contrast * p.brightness)[:, None, None] * after_contrast
        grey_offset = (1 - p.contrast) * p.brightness * (mean_colour @ self._luma)
        # rows of after_contrast sum to 1: a grey value passes through it unchanged
        return matrix, grey_offset[:, None].expand(-1, 3)


def steps(size: int, device: torch.device) -> Tensor:
    """(size,) float32: the middles of the pixels along an edge from -1 to 1."""
    return (2 * torch.arange(size, device=device, dtype=torch.float32) + 1) / size - 1


def geometry(p: ViewParameters) -> Tensor:
    """(B, 2, 3) affine maps from view coordinates to image coordinates: turn, then flip, then crop."""
    # cos and sin of whole quarter turns, exact
    cos = (p.turns == 0).float() - (p.turns == 2).float()
    sin = (p.turns == 1).float() - (p.turns == 3).float()
    across, down = p.width * p.flip_x, p.height * p.flip_y
    return torch.stack(
        [
            torch.stack([across * cos, -across * sin, p.x], dim=1),
            torch.stack([down * sin, down * cos, p.y], dim=1),
        ],
        dim=1,
    )


def sampling_grid(theta: Tensor, steps: Tensor) -> Tensor:
    """(B, S, S, 2): what ``F.affine_grid`` gives, as sums of a row and a column: a fifth of its time on a CPU.

    Args:
        theta: (B, 2, 3) affine maps.
        steps: (S,) the middles of the pixels of a view, from -1 to 1.
    """
    along = theta[:, :, :1] * steps  # (B, 2, S): what the column adds
    down = theta[:, :, 1:2] * steps + theta[:, :, 2:]
    if torch.compiler.is_compiling():
        return (along[:, :, None, :] + down[:, :, :, None]).permute(0, 2, 3, 1)
    grid = theta.new_empty(len(theta), len(steps), len(steps), 2)
    for axis in range(2):
        torch.add(along[:, axis, None, :], down[:, axis, :, None], out=grid[..., axis])
    return grid


def _hue_rotation(turns: Tensor) -> Tensor:
    """(B, 3, 3) rotations of RGB around the grey axis by ``turns`` of the circle; greys and R + G + B stay.

    The linear counterpart of a shift of hue in HSV. On real images it is nearer to torchvision's shift than a
    rotation in YIQ: mean error 0.029 of the range against 0.041, where the shift itself is 0.037
    (docs/measurements/decisions.md).
    """
    angle = 2 * math.pi * turns
    diagonal = (1 + 2 * angle.cos()) / 3
    up = (1 - angle.cos()) / 3 + angle.sin() / math.sqrt(3)
    down = (1 - angle.cos()) / 3 - angle.sin() / math.sqrt(3)
    circulant = [diagonal, down, up, up, diagonal, down, down, up, diagonal]
    return torch.stack(circulant, dim=1).unflatten(1, (3, 3))
