"""A view and a jigsaw puzzle of it: nine shuffled patches per picture, made for the whole batch at once."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl.data.augment import (
    DRAWS,
    aspects_of,
    compiled_views,
    known_aspects,
    parameters_from,
    uniform,
)
from dermssl.data.policy import ViewPolicy
from dermssl.data.render import Renderer, ViewParameters

GRID = 3
PATCHES = GRID**2

# As in the authors' code (VISSL, pirl_jigsaw): the puzzle keeps at least 60 % of the area; a patch is 64 of the 85
# pixels of its cell, so that edges do not continue from one patch to the next; it is seen at 64 pixels where the view
# has 224.
CROP_SCALE = 0.6
PATCH_SHARE = 64 / 85
PATCH_OF_VIEW = 64 / 224

# Backbones reduce an image 32 times; smaller ones would end in no pixel at all.
SMALLEST_PATCH = 32


def patch_edge(size: int) -> int:
    """Edge in pixels of a patch where the view has ``size``."""
    return max(SMALLEST_PATCH, round(PATCH_OF_VIEW * size))


class JigsawViews:
    """Makes a view of each image, nine shuffled patches of it, and passes on which image it is.

    Each patch has its own place in its cell of a 3 x 3 grid over a crop of the image, and its own flip and colours.

    Args:
        size: edge of the view in pixels.
        policy: how strongly views and patches are changed; the crop of the puzzle keeps 60 to 100 % of the area.
        mean, std: normalisation of the three channels.
        generator: source of all randomness; its device must be that of the images.
        patch_size: edge of a patch in pixels; default 2/7 of ``size`` (64 of 224), at least 32.
        aspects: (N,) width / height of the photographs, as in ``TwoViews``.
    """

    def __init__(
        self,
        size: int,
        policy: ViewPolicy,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        generator: torch.Generator,
        *,
        patch_size: int | None = None,
        aspects: np.ndarray | None = None,
    ) -> None:
        self.size, self.policy, self.mean, self.std, self.generator = size, policy, mean, std, generator
        self.patch_size = patch_size or patch_edge(size)
        self._render = Renderer(size, mean, std, generator.device)
        self._render_patch = Renderer(self.patch_size, mean, std, generator.device)
        self._aspects = known_aspects(aspects, generator.device)
        self._make: Callable[..., tuple[tuple[Tensor, Tensor], None]] = self._views

    def __call__(self, images: Tensor, index: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Input and target of a task.

        Args:
            images: (B, S, S, 3) uint8.
            index: (B,) int64, which images of the data set they are.

        Returns:
            the views (B, 3, size, size) and their patches (9 B, 3, patch_size, patch_size), those of an image one
            after another, float32; and ``index``.
        """
        count = len(images)
        view = uniform(DRAWS, count, generator=self.generator)
        draws = view, *draw_puzzle(count, self.generator)
        views, _ = self._make(images, aspects_of(self._aspects, index), *draws)
        return views, index

    def compile(self, dtype: torch.dtype) -> None:
        """Make views and patches by one program from now on, as ``TwoViews.compile``."""
        self._make = compiled_views(self._views, dtype)

    def _views(
        self, images: Tensor, aspects: Tensor | None, view: Tensor, whole: Tensor, places: Tensor, patches: Tensor
    ) -> tuple[tuple[Tensor, Tensor], None]:
        """The views and their patches, from uniform numbers for each."""
        pixels = images.permute(0, 3, 1, 2).float().contiguous()
        parameters = parameters_from(view, self.policy, aspects=aspects)
        puzzle = patches_from(whole, places, patches, self.policy, aspects)
        # The nine grids of an image one below the other: it is read once, not copied nine times.
        grid = self._render_patch.grid(puzzle).unflatten(0, (-1, PATCHES)).flatten(1, 2)
        read = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        read = read.unflatten(2, (PATCHES, -1)).transpose(1, 2).flatten(0, 1)
        return (self._render(pixels, parameters), self._render_patch.recolour(read, puzzle)), None


def draw_puzzle(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Uniform numbers for ``count`` puzzles: their crops, the order and places of the patches, and the patches."""
    return (
        uniform(DRAWS, count, generator=generator),
        uniform(3, count, PATCHES, generator=generator),
        uniform(DRAWS, count * PATCHES, generator=generator),
    )


def patches_from(
    whole: Tensor, places: Tensor, patches: Tensor, policy: ViewPolicy, aspects: Tensor | None = None
) -> ViewParameters:
    """The parameters of patches that the numbers of ``draw_puzzle`` stand for; every field is (9 B,).

    Args:
        aspects: (B,) width / height of the photographs; default: they are square.
    """
    crops = parameters_from(whole, policy, area=(CROP_SCALE, 1.0), aspects=aspects)
    crop = ViewParameters(*(field.repeat_interleave(PATCHES) for field in crops))
    cell = places[0].argsort(dim=1).flatten()  # a random order of the nine, for each image
    slack = (1 - PATCH_SHARE) / GRID

    def centre(column: Tensor, draw: Tensor) -> Tensor:  # in the crop, whose edges are at -1 and 1
        return (column - 1) * 2 / GRID + slack * (2 * draw.flatten() - 1)

    return parameters_from(patches, policy)._replace(
        x=crop.x + crop.width * centre(cell % GRID, places[1]),
        y=crop.y + crop.height * centre(cell // GRID, places[2]),
        width=crop.width * PATCH_SHARE / GRID,
        height=crop.height * PATCH_SHARE / GRID,
    )
