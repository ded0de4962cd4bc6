"""Two augmented views of a batch, computed on the batch's own device.

What is drawn for them stands here, and how a view is made of it in `dermssl.data.render`. Nothing is decided image by
image in Python, and nothing is copied from the host or back in a step.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dermssl import distributed
from dermssl.data.policy import ViewPolicy
from dermssl.data.render import Renderer, ViewParameters

# The small third view of E-SSL: 5 to 14 % of the area, at 96 px where the others have 224. Backbones reduce an image
# 32 times, so that smaller ones would end in no pixel at all.
CROP_AREA = (0.05, 0.14)
CROP_OF_VIEW = 96 / 224
SMALLEST_CROP = 32

JITTERED = 0.8  # share of the views whose colour is changed at all


# Uniform numbers for each view: for everything, so that the sequence does not depend on which changes are switched on.
DRAWS = 13


def draw_parameters(
    count: int,
    policy: ViewPolicy,
    generator: torch.Generator,
    *,
    rotate: bool = False,
    aspects: Tensor | None = None,
) -> ViewParameters:
    """Draw the parameters of ``count`` views on the generator's device; the rest is as in ``parameters_from``."""
    u = torch.rand(DRAWS, count, generator=generator, device=generator.device)
    return parameters_from(u, policy, rotate=rotate, aspects=aspects)


def uniform(*shape: int, generator: torch.Generator) -> Tensor:
    """Uniform numbers (R, B, ...), B of them for this process's images.

    Drawn for the images of all processes: what becomes of an image does not depend on how many processes there are.
    """
    rows, count, *more = shape
    ranks = distributed.world_size()
    u = torch.rand(rows, ranks * count, *more, generator=generator, device=generator.device)
    return u.narrow(1, distributed.rank() * count, count)


def parameters_from(
    u: Tensor,
    policy: ViewPolicy,
    *,
    rotate: bool = False,
    told: bool = False,
    area: tuple[float, float] | None = None,
    aspects: Tensor | None = None,
) -> ViewParameters:
    """The parameters that uniform numbers ``u`` (``DRAWS``, B) stand for.

    A crop is drawn as if from a square on the photograph's shorter edge, and may lie anywhere in the photograph. The
    cache holds a photograph squeezed into a square; in its coordinates the crop is narrower on the longer edge, so
    that it is not stretched in the view, but for the jitter of its shape, which favours no axis. Cropped as if the
    squeezed image were the photograph, the stretch would tell how a view was turned (docs/measurements/decisions.md).

    So would its place: light and skin change from the middle outwards, and a crop from the end of a wide photograph can
    only lie left or right of it. A view whose turn is ``told`` lies as far from the middle along one edge as along the
    other, which is within the middle square; all other views lie anywhere in the photograph.

    Args:
        rotate: False keeps all turns at 0.
        told: the turn is to be told from the view, whose place must not give it away.
        area: least and greatest share of the area that a crop keeps; default: the policy's to 1.
        aspects: (B,) width / height of the photographs that the squares hold; default: they are square.
    """
    least, greatest = area or (policy.crop_scale, 1.0)
    kept = least + (greatest - least) * u[0]
    aspect = torch.exp((2 * u[1] - 1) * math.log(4 / 3))
    width = (kept * aspect).sqrt().clamp_(max=1.0)
    height = (kept / aspect).sqrt().clamp_(max=1.0)
    across: float | Tensor = 1.0  # edges of what the crop lies in, as shares of the image's
    down: float | Tensor = 1.0
    if aspects is not None:
        middle = 1 / aspects.clamp(min=1.0), aspects.clamp(max=1.0)  # the middle square
        width, height = width * middle[0], height * middle[1]
        if told:
            across, down = middle
    jittered = (u[7] < JITTERED).float()

    def factor(strength: float, draw: Tensor) -> Tensor:
        return 1 + jittered * strength * (2 * draw - 1)

    return ViewParameters(
        x=(across - width) * (2 * u[2] - 1),
        y=(down - height) * (2 * u[3] - 1),
        width=width,
        height=height,
        flip_x=_signs(u[4], policy.flip in ("horizontal", "both")),
        flip_y=_signs(u[5], policy.flip == "both"),
        turns=(4 * u[6]).long() if rotate else torch.zeros_like(u[6], dtype=torch.long),
        brightness=factor(policy.brightness, u[8]),
        contrast=factor(policy.contrast, u[9]),
        saturation=factor(policy.saturation, u[10]),
        hue=jittered * policy.hue * (2 * u[11] - 1),
        grayscale=(u[12] < policy.grayscale).float(),
    )


def _signs(draw: Tensor, enabled: bool) -> Tensor:
    return 1 - 2 * (draw < 0.5).float() if enabled else torch.ones_like(draw)


def known_aspects(aspects: np.ndarray | None, device: torch.device) -> Tensor | None:
    """(N,) float32 on the device; None where nothing is known, or all are square."""
    if aspects is None or bool((aspects == 1).all()):
        return None
    return torch.as_tensor(aspects, dtype=torch.float32).to(device)


def crop_edge(size: int) -> int:
    """Edge in pixels of the third view where the views have ``size``."""
    return max(SMALLEST_CROP, round(CROP_OF_VIEW * size))


class TwoViews:
    """Makes the query view, the key view and the rotation label of a batch.

    Args:
        size: edge of the views in pixels.
        policy: how strongly views are changed.
        mean, std: normalisation of the three channels.
        generator: source of all randomness; its device must be that of the images.
        rotate_query: turn the query view by 0, 90, 180 or 270 degrees, and crop it within the middle square of the
            photograph; the key view is never turned, and lies anywhere in the photograph.
        with_key: False makes the query view alone.
        with_crop: makes a third view as well, a crop of 5 to 14 % of the area, which is turned: it has the label
            (E-SSL, Dangovski et al., ICLR 2022).
        crop_size: edge of the third view in pixels; default 3/7 of ``size`` (96 of 224), at least 32.
        aspects: (N,) width / height of the photographs of the data set, as a cache knows them; None where all images
            are square, or their shapes are unknown.
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
        aspects: np.ndarray | None = None,
    ) -> None:
        self.size, self.policy, self.mean, self.std, self.generator = size, policy, mean, std, generator
        self.rotate_query, self.with_key, self.with_crop = rotate_query, with_key, with_crop
        crop_size = crop_size or crop_edge(size)
        self._render = Renderer(size, mean, std, generator.device)
        self._render_crop = Renderer(crop_size, mean, std, generator.device) if with_crop else self._render
        self._aspects = known_aspects(aspects, generator.device)
        self._make: Callable[..., tuple[tuple[Tensor, ...], Tensor]] = self._views

    def __call__(self, images: Tensor, index: Tensor | None = None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Input and target of a task.

        Args:
            images: (B, S, S, 3) uint8.
            index: (B,) int64, which images of the data set they are; needed where there are ``aspects``.

        Returns:
            (query, key) or (query,), each (B, 3, size, size) float32, and the query's quarter turns (B,) int64; with
            ``with_crop`` (query, key, crop), the crop (B, 3, crop_size, crop_size), and the crop's quarter turns.
        """
        count = 1 + self.with_key + self.with_crop
        draws = [uniform(DRAWS, len(images), generator=self.generator) for _ in range(count)]
        return self._make(images, aspects_of(self._aspects, index), *draws)

    def compile(self, dtype: torch.dtype) -> None:
        """Make views by one program from now on, which reads the bytes of the images: in channels_last, as ``dtype``.

        What is drawn for them, and from which generator, stays as it is.
        """
        self._make = compiled_views(self._views, dtype)

    def _views(self, images: Tensor, aspects: Tensor | None, *draws: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """As ``__call__``, from uniform numbers (``DRAWS``, B) for each view."""
        pixels = images.permute(0, 3, 1, 2).float().contiguous()
        query = self._drawn(draws[0], aspects, turned=self.rotate_query)
        views = [self._render(pixels, query)]
        if self.with_key:
            views.append(self._render(pixels, self._drawn(draws[1], aspects)))
        if not self.with_crop:
            return tuple(views), query.turns
        crop = self._drawn(draws[-1], aspects, turned=True, area=CROP_AREA)
        views.append(self._render_crop(pixels, crop))
        return tuple(views), crop.turns

    def _drawn(
        self, u: Tensor, aspects: Tensor | None, *, turned: bool = False, area: tuple[float, float] | None = None
    ) -> ViewParameters:
        return parameters_from(u, self.policy, rotate=turned, told=turned, area=area, aspects=aspects)


def compiled_views(make: Callable[..., tuple[tuple[Tensor, ...], Any]], dtype: torch.dtype) -> Callable:
    """``make`` as one compiled program, whose views are channels_last and of ``dtype``, as the network reads them."""

    def views_of(*arguments: Tensor | None) -> tuple[tuple[Tensor, ...], Any]:
        views, target = make(*arguments)
        return tuple(view.to(dtype, memory_format=torch.channels_last) for view in views), target

    return torch.compile(views_of, dynamic=False)


def aspects_of(aspects: Tensor | None, index: Tensor | None) -> Tensor | None:
    """(B,) those of the images of a batch."""
    if aspects is None:
        return None
    if index is None:
        raise TypeError("views of photographs that are not square need the numbers of the images: views(images, index)")
    return aspects[index]
