"""The puzzle: where its patches lie, in which order, and that they are read as single views would be."""

from dataclasses import replace

import pytest
import torch

from dermssl.data.augment import draw_parameters
from dermssl.data.jigsaw import CROP_SCALE, GRID, PATCH_SHARE, PATCHES, JigsawViews, draw_puzzle, patches_from
from dermssl.data.policy import ViewPolicy
from dermssl.data.render import Renderer, ViewParameters

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("flip", ["none", "horizontal", "both"])
def test_the_patches_lie_in_the_nine_cells_of_a_crop_in_random_order(flip):
    policy = ViewPolicy(flip=flip)
    crop = draw_parameters(200, replace(policy, crop_scale=CROP_SCALE), seeded())
    patches = patches_from(*draw_puzzle(200, seeded()), policy)
    assert (crop.width * crop.height).min() >= CROP_SCALE - 1e-5

    def in_crop(centre: str, extent: str) -> torch.Tensor:
        value = getattr(patches, centre).view(200, PATCHES) - getattr(crop, centre)[:, None]
        return value / getattr(crop, extent)[:, None]  # -1 to 1

    columns, rows = in_crop("x", "width"), in_crop("y", "height")
    cells = ((rows + 1) * GRID / 2).floor() * GRID + ((columns + 1) * GRID / 2).floor()
    assert torch.equal(cells.sort(dim=1).values, torch.arange(9.0).expand(200, 9)), "each cell once"
    assert len({tuple(order) for order in cells.tolist()}) > 190
    assert torch.bincount(cells[:, 0].long(), minlength=9).min() > 8, "any cell may come first"
    for place in (columns, rows):
        centre = (((place + 1) * GRID / 2).floor() + 0.5) * 2 / GRID - 1
        slack = (1 - PATCH_SHARE) / GRID
        assert (place - centre).abs().max() <= slack + 1e-5, "inside its cell"
        assert (place - centre).abs().max() > 0.9 * slack
    torch.testing.assert_close(patches.width.view(200, 9)[:, 4], crop.width * PATCH_SHARE / GRID)


def test_every_patch_has_its_own_flip_and_colours():
    patches = patches_from(*draw_puzzle(50, seeded()), ViewPolicy())
    assert (patches.flip_x.view(50, 9).std(1) > 0).float().mean() > 0.9
    for name in ("brightness", "contrast", "saturation", "hue"):
        assert (getattr(patches, name).view(50, 9).std(1) > 0).all(), name


def test_patches_are_read_as_single_views_would_be():
    pictures = torch.randint(0, 256, (5, 60, 60, 3), dtype=torch.uint8, generator=seeded(1))
    maker = JigsawViews(56, ViewPolicy(), MEAN, STD, seeded())
    (view, patches), index = maker(pictures, torch.tensor([7, 3, 9, 0, 1]))
    assert index.tolist() == [7, 3, 9, 0, 1]
    generator, pixels = seeded(), pictures.permute(0, 3, 1, 2).float()
    expected = draw_parameters(5, ViewPolicy(), generator)
    torch.testing.assert_close(view, Renderer(56, MEAN, STD, pixels.device)(pixels, expected), atol=1e-5, rtol=0)
    parameters = patches_from(*draw_puzzle(5, generator), ViewPolicy())
    render = Renderer(maker.patch_size, MEAN, STD, pixels.device)
    for image in range(5):
        for patch in range(PATCHES):
            i = image * PATCHES + patch
            one = ViewParameters(*(field[i : i + 1] for field in parameters))
            single = render(pixels[image : image + 1], one)
            torch.testing.assert_close(patches[i : i + 1], single, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("size", "given", "edge"), [(224, None, 64), (64, None, 32), (128, None, 37), (32, 48, 48)])
def test_the_size_of_a_patch(size, given, edge):
    pictures = torch.zeros(2, 40, 40, 3, dtype=torch.uint8)
    (view, patches), _ = JigsawViews(size, ViewPolicy(), MEAN, STD, seeded(), patch_size=given)(
        pictures, torch.arange(2)
    )
    assert view.shape == (2, 3, size, size)
    assert patches.shape == (18, 3, edge, edge)
    assert view.dtype == patches.dtype == torch.float32


def test_the_seed_decides():
    pictures = torch.randint(0, 256, (3, 40, 40, 3), dtype=torch.uint8, generator=seeded(1))

    def patches(seed: int) -> torch.Tensor:
        return JigsawViews(32, ViewPolicy(), MEAN, STD, seeded(seed))(pictures, torch.arange(3))[0][1]

    assert torch.equal(patches(0), patches(0))
    assert not torch.equal(patches(0), patches(1))
