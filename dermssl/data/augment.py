"""Two augmented views of a batch, computed on the batch's own device.

All geometry (crop, flip, rotation) is one affine map per image and one ``grid_sample``; all colour (brightness,
contrast, saturation, hue, grayscale, normalisation) is one 3x4 matrix per image. Nothing is decided image by image
in Python, so a batch costs two kernel launches a view whatever the number of images.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl import distributed

FLIPS = ("none", "horizontal", "both")

# ITU-R 601 luma, as PIL and torchvision use for grayscale, contrast and saturation
LUMA = (0.299, 0.587, 0.114)

# The small third view of E-SSL: 5 to 14 % of the area, at 96 px where the others have 224. Backbones reduce an image
# 32 times, so that smaller ones would end in no pixel at all.
CROP_AREA = (0.05, 0.14)
CROP_OF_VIEW = 96 / 224
SMALLEST_CROP = 32


@dataclass(frozen=True)
class ViewPolicy:
    """How strongly a view is changed.

    Args:
        crop_scale: smallest share of the image's area that a crop keeps, in (0, 1]; the largest is 1.
        flip: ``"horizontal"`` (default), ``"both"`` or ``"none"``. Horizontal and vertical flips together are the
            turn by 180 degrees: with both on, 0 and 180 degrees cannot be told apart and no network can predict
            the rotation better than half of the time.
        brightness, contrast, saturation: a factor is drawn from [1 - value, 1 + value].
        hue: a shift is drawn from [-value, value], in turns of the colour circle.
        jitter_probability: share of the views whose colour is changed at all.
        grayscale: share of the views that lose their colour.
    """

    crop_scale: float = 0.2
    flip: str = "horizontal"
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jitter_probability: float = 0.8
    grayscale: float = 0.2


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


def draw_parameters(
    count: int,
    policy: ViewPolicy,
    generator: torch.Generator,
    *,
    rotate: bool = False,
    area: tuple[float, float] | None = None,
) -> ViewParameters:
    """Draw the parameters of ``count`` views on the generator's device.

    Args:
        rotate: False keeps all turns at 0.
        area: least and greatest share of the image's area that a crop keeps; default: the policy's to 1.
    """
    least, greatest = area or (policy.crop_scale, 1.0)
    # One draw for everything: the sequence does not depend on which changes are switched on.
    u = torch.rand(13, count, generator=generator, device=generator.device)
    kept = least + (greatest - least) * u[0]
    aspect = torch.exp((2 * u[1] - 1) * math.log(4 / 3))
    width = (kept * aspect).sqrt().clamp_(max=1.0)
    height = (kept / aspect).sqrt().clamp_(max=1.0)
    jittered = (u[7] < policy.jitter_probability).float()

    def factor(strength: float, draw: Tensor) -> Tensor:
        return 1 + jittered * strength * (2 * draw - 1)

    return ViewParameters(
        x=(1 - width) * (2 * u[2] - 1),
        y=(1 - height) * (2 * u[3] - 1),
        width=width,
        height=height,
        flip_x=_signs(u[4], policy.flip in ("horizontal", "both")),
        flip_y=_signs(u[5], policy.flip == "both"),
        turns=(4 * u[6]).long() if rotate else torch.zeros(count, dtype=torch.long, device=u.device),
        brightness=factor(policy.brightness, u[8]),
        contrast=factor(policy.contrast, u[9]),
        saturation=factor(policy.saturation, u[10]),
        hue=jittered * policy.hue * (2 * u[11] - 1),
        grayscale=(u[12] < policy.grayscale).float(),
    )


def _signs(draw: Tensor, enabled: bool) -> Tensor:
    return torch.where(draw < 0.5, -1.0, 1.0) if enabled else torch.ones_like(draw)


def apply_view(
    images: Tensor, parameters: ViewParameters, size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """The views of ``images`` for given parameters.

    Args:
        images: (B, 3, S, S) float, values 0 to 255.
        size: edge of the views in pixels.
        mean, std: of the three channels, for values in [0, 1].

    Returns:
        (B, 3, size, size) float, normalised; clamped to the range that [0, 1] has after normalisation.
    """
    grid = sampling_grid(geometry(parameters), size)
    return recolour(F.grid_sample(images, grid, padding_mode="border", align_corners=False), parameters, mean, std)


def recolour(images: Tensor, parameters: ViewParameters, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Change the colours of images (B, 3, H, W), values 0 to 255, and normalise them; as in ``apply_view``."""
    pixels = images.flatten(2)
    matrix, offset = colour_transform(parameters, pixels.mean(2) / 255)

    mean_, std_ = pixels.new_tensor(mean), pixels.new_tensor(std)
    matrix = matrix / (255 * std_[:, None])
    offset = (offset - mean_) / std_
    view = torch.baddbmm(offset[:, :, None], matrix, pixels)
    for channel, (m, s) in enumerate(zip(mean, std, strict=True)):
        view[:, channel].clamp_(-m / s, (1 - m) / s)
    return view.unflatten(2, images.shape[2:])


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


def sampling_grid(theta: Tensor, size: int) -> Tensor:
    """(B, size, size, 2): what ``F.affine_grid`` gives, as sums of a row and a column: a fifth of its time on a CPU."""
    steps = (2 * torch.arange(size, device=theta.device, dtype=theta.dtype) + 1) / size - 1
    along = theta[:, :, :1] * steps  # (B, 2, size): what the column adds
    down = theta[:, :, 1:2] * steps + theta[:, :, 2:]
    grid = theta.new_empty(len(theta), size, size, 2)
    for axis in range(2):
        torch.add(along[:, axis, None, :], down[:, axis, :, None], out=grid[..., axis])
    return grid


def colour_transform(p: ViewParameters, mean_colour: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness, contrast, saturation, hue and grayscale, in this order, as one affine map of RGB per image.

    Args:
        mean_colour: (B, 3) mean RGB of each view before any change, in [0, 1]; contrast pulls towards its luma.

    Returns:
        matrix (B, 3, 3) and offset (B, 3), for values in [0, 1].
    """
    luma = mean_colour.new_tensor(LUMA)
    identity = torch.eye(3, device=luma.device)
    grey = luma.expand(3, 3)  # rgb -> (luma, luma, luma)

    saturation, grayscale = p.saturation[:, None, None], p.grayscale[:, None, None]
    after_contrast = (1 - grayscale) * _hue_rotation(p.hue) + grayscale * grey
    after_contrast = after_contrast @ (saturation * identity + (1 - saturation) * grey)

    matrix = (p.contrast * p.brightness)[:, None, None] * after_contrast
    grey_offset = (1 - p.contrast) * p.brightness * (mean_colour @ luma)
    # rows of after_contrast sum to 1: a grey value passes through it unchanged
    return matrix, grey_offset[:, None].expand(-1, 3)


def _hue_rotation(turns: Tensor) -> Tensor:
    """(B, 3, 3) rotations of RGB around the grey axis by ``turns`` of the circle; greys and R + G + B stay.

    The linear counterpart of a shift of hue in HSV. On real images it is nearer to torchvision's shift than a
    rotation in YIQ: mean error 0.029 of the range against 0.041, where the shift itself is 0.037 (docs/decisions.md).
    """
    angle = 2 * math.pi * turns
    diagonal = (1 + 2 * angle.cos()) / 3
    up = (1 - angle.cos()) / 3 + angle.sin() / math.sqrt(3)
    down = (1 - angle.cos()) / 3 - angle.sin() / math.sqrt(3)
    circulant = [diagonal, down, up, up, diagonal, down, down, up, diagonal]
    return torch.stack(circulant, dim=1).unflatten(1, (3, 3))


class TwoViews:
    """Makes the query view, the key view and the rotation label of a batch.

    Args:
        size: edge of the views in pixels.
        policy: how strongly views are changed.
        mean, std: normalisation of the three channels.
        generator: source of all randomness; its device must be that of the images.
        rotate_query: turn the query view by 0, 90, 180 or 270 degrees; the key view is never turned.
        with_key: False makes the query view alone.
        with_crop: makes a third view as well, a crop of 5 to 14 % of the area, which is turned: it has the label
            (E-SSL, Dangovski et al., ICLR 2022).
        crop_size: edge of the third view in pixels; default 3/7 of ``size`` (96 of 224), at least 32.
    """

    def __init__(
        self,
        size: int,
        policy: ViewPolicy,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        generator: torch.Generator,
        *,
        rotate_query: bool = True,
        with_key: bool = True,
        with_crop: bool = False,
        crop_size: int | None = None,
    ) -> None:
        self.with_crop, self.crop_size = with_crop, crop_size or max(SMALLEST_CROP, round(CROP_OF_VIEW * size))
        self.size, self.policy, self.mean, self.std = size, policy, mean, std
        self.generator, self.rotate_query, self.with_key = generator, rotate_query, with_key

    def __call__(self, images: Tensor, index: Tensor | None = None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Input and target of a task.

        Args:
            images: (B, S, S, 3) uint8.
            index: (B,) which images of the data set they are; two views do not depend on it.

        Returns:
            (query, key) or (query,), each (B, 3, size, size) float32, and the query's quarter turns (B,) int64; with
            ``with_crop`` (query, key, crop), the crop (B, 3, crop_size, crop_size), and the crop's quarter turns.
        """
        pixels = images.permute(0, 3, 1, 2).float().contiguous()
        query = self._draw(len(images), rotate=self.rotate_query)
        drawn = [query]
        if self.with_key:
            drawn.append(self._draw(len(images)))
        views = [apply_view(pixels, p, self.size, self.mean, self.std) for p in drawn]
        if not self.with_crop:
            return tuple(views), query.turns
        crop = self._draw(len(images), rotate=True, area=CROP_AREA)
        views.append(apply_view(pixels, crop, self.crop_size, self.mean, self.std))
        return tuple(views), crop.turns

    def _draw(self, count: int, *, rotate: bool = False, area: tuple[float, float] | None = None) -> ViewParameters:
        """Drawn for the images of all processes: what becomes of an image does not depend on how many there are."""
        count *= distributed.world_size()
        every = draw_parameters(count, self.policy, self.generator, rotate=rotate, area=area)
        return ViewParameters(*map(distributed.share, every))
