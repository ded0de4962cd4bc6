"""The batched augmentation against torchvision's functional operations and torch.rot90."""

import pytest
import torch
import torchvision.transforms.v2.functional as TF

from dermssl.data.augment import TwoViews, draw_parameters
from dermssl.data.policy import ViewPolicy
from dermssl.data.render import Renderer, ViewParameters, geometry, sampling_grid, steps

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def neutral(count: int, **changes) -> ViewParameters:
    """Parameters that change nothing, but for ``changes`` (numbers or lists)."""
    values = {
        "x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0, "flip_x": 1.0, "flip_y": 1.0, "turns": 0,
        "brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "grayscale": 0.0,
    }  # fmt: skip
    values.update(changes)
    columns = {k: torch.as_tensor(v).expand(count).clone() for k, v in values.items()}
    return ViewParameters(**{k: v.long() if k == "turns" else v.float() for k, v in columns.items()})


def apply_view(images, parameters, size, mean, std):
    return Renderer(size, mean, std, images.device)(images, parameters)


@pytest.fixture
def images() -> torch.Tensor:
    """Smooth random pictures (4, 3, 48, 48), 0 to 255: bilinear reading of noise would compare nothing."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 3, 6, 6, generator=generator)
    return 255 * torch.nn.functional.interpolate(coarse, 48, mode="bicubic").clamp(0.05, 0.95)


def test_neutral_parameters_only_normalise(images):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    expected = TF.normalize(images / 255, mean, std)
    torch.testing.assert_close(apply_view(images, neutral(4), 48, mean, std), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_rotation_label_is_what_rot90_does(images, turns):
    view = apply_view(images, neutral(4, turns=turns), 48, ZERO, ONE)
    torch.testing.assert_close(view, torch.rot90(images / 255, turns, (2, 3)), atol=1e-5, rtol=0)


def test_each_image_of_a_batch_has_its_own_rotation(images):
    view = apply_view(images, neutral(4, turns=[3, 0, 1, 2]), 48, ZERO, ONE)
    for image, got, turns in zip(images, view, [3, 0, 1, 2], strict=True):
        torch.testing.assert_close(got, torch.rot90(image / 255, turns, (1, 2)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("flip_x", "flip_y"), [(-1, 1), (1, -1), (-1, -1)])
def test_flips_are_torchvisions(images, flip_x, flip_y):
    expected = images / 255
    expected = TF.horizontal_flip(expected) if flip_x < 0 else expected
    expected = TF.vertical_flip(expected) if flip_y < 0 else expected
    view = apply_view(images, neutral(4, flip_x=flip_x, flip_y=flip_y), 48, ZERO, ONE)
    torch.testing.assert_close(view, expected, atol=1e-5, rtol=0)


def test_crop_then_flip_then_turn_is_torchvisions(images):
    """A crop of 24 pixels at (top 6, left 12), resized to 32, mirrored, turned once: within 0.2 of 255 grey levels.

    But for the outermost pixel: torchvision repeats the crop's edge there, we read the image beyond it.
    """
    expected = TF.resized_crop(images / 255, 6, 12, 24, 24, [32, 32], antialias=False)
    expected = torch.rot90(TF.horizontal_flip(expected), 1, (2, 3))
    parameters = neutral(4, x=0.0, y=-0.25, width=0.5, height=0.5, flip_x=-1, turns=1)
    view = apply_view(images, parameters, 32, ZERO, ONE)
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(view[inside], expected[inside], atol=0.2 / 255, rtol=0)


@pytest.mark.parametrize(
    ("changes", "reference"),
    [
        ({"brightness": 0.7}, lambda x: TF.adjust_brightness(x, 0.7)),
        ({"brightness": 1.3}, lambda x: TF.adjust_brightness(x, 1.3)),
        ({"contrast": 0.6}, lambda x: TF.adjust_contrast(x, 0.6)),
        ({"contrast": 1.2}, lambda x: TF.adjust_contrast(x, 1.2)),
        ({"saturation": 0.6}, lambda x: TF.adjust_saturation(x, 0.6)),
        ({"saturation": 1.3}, lambda x: TF.adjust_saturation(x, 1.3)),
        ({"grayscale": 1.0}, lambda x: TF.rgb_to_grayscale(x, 3)),
        (
            {"brightness": 0.8, "contrast": 0.9, "saturation": 0.7},
            lambda x: TF.adjust_saturation(TF.adjust_contrast(TF.adjust_brightness(x, 0.8), 0.9), 0.7),
        ),
    ],
)
def test_colour_is_torchvisions(images, changes, reference):
    """Within 1e-3 of the range (luma weights are rounded there), away from the clamps, which come once, last, here."""
    gentle = 255 * (0.4 + 0.2 * images / 255)
    view = apply_view(gentle, neutral(4, **changes), 48, ZERO, ONE)
    torch.testing.assert_close(view, reference(gentle / 255), atol=1e-3, rtol=0)


@pytest.mark.parametrize("hue", [-0.1, -0.05, 0.05, 0.1])
def test_hue_turns_colour_the_way_torchvision_does(hue):
    """On colours around skin it is nearer to torchvision's shift in HSV than no shift is, and far from the reverse."""
    generator = torch.Generator().manual_seed(1)
    noise = 0.15 * (torch.rand(4, 3, 32, 32, generator=generator) - 0.5)
    skin = torch.tensor([0.75, 0.55, 0.45])[:, None, None] + noise
    view = apply_view(255 * skin, neutral(4, hue=hue), 32, ZERO, ONE)
    error = (view - TF.adjust_hue(skin, hue)).abs().mean()
    assert error < (skin - TF.adjust_hue(skin, hue)).abs().mean()
    assert error < 0.5 * (view - TF.adjust_hue(skin, -hue)).abs().mean()


def test_hue_keeps_greys_and_the_sum_of_the_channels():
    generator = torch.Generator().manual_seed(1)
    skin = 0.3 + 0.4 * torch.rand(2, 3, 16, 16, generator=generator)
    view = apply_view(255 * skin, neutral(2, hue=0.1), 16, ZERO, ONE)
    torch.testing.assert_close(view.sum(1), skin.sum(1), atol=1e-5, rtol=0)
    grey = torch.full((1, 3, 8, 8), 0.5)
    torch.testing.assert_close(apply_view(255 * grey, neutral(1, hue=0.1), 8, ZERO, ONE), grey, atol=1e-5, rtol=0)


def test_views_stay_in_the_range_of_pixels(images):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    view = apply_view(images, neutral(4, brightness=3.0), 48, mean, std)
    back = view * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    assert back.max() <= 1 + 1e-5
    assert back.max() > 0.999
    assert back.min() >= -1e-5


def test_drawn_parameters_follow_the_policy():
    policy = ViewPolicy(crop_scale=0.3, brightness=0.2, contrast=0.1, saturation=0.3, hue=0.05, grayscale=0.25)
    p = draw_parameters(20_000, policy, torch.Generator().manual_seed(0), rotate=True)
    area = p.width * p.height
    assert 0.3 - 1e-5 <= area.min() < 0.31
    assert area.max() <= 1
    assert (p.x.abs() + p.width).max() <= 1 + 1e-5, "the crop leaves the image"
    assert (p.y.abs() + p.height).max() <= 1 + 1e-5, "the crop leaves the image"
    assert (p.width / p.height).max() <= 4 / 3 + 1e-4
    for values, strength in ((p.brightness, 0.2), (p.contrast, 0.1), (p.saturation, 0.3)):
        assert 1 - strength <= values.min() < 1 - 0.9 * strength
        assert 1 + 0.9 * strength < values.max() <= 1 + strength
    assert 0.045 < p.hue.abs().max() <= 0.05
    assert (p.brightness == 1).float().mean() == pytest.approx(0.2, abs=0.01), "a fifth of the views keeps its colour"
    assert p.grayscale.mean() == pytest.approx(0.25, abs=0.01)
    assert torch.bincount(p.turns).float().div(20_000) == pytest.approx([0.25] * 4, abs=0.01)
    assert p.flip_x.mean().abs() < 0.03
    assert p.flip_y.eq(1).all(), "vertical flips are off by default"


def test_both_flips_together_are_the_half_turn(images):
    """Why vertical flips are off while rotation is predicted."""
    flipped = apply_view(images, neutral(4, flip_x=-1, flip_y=-1), 48, ZERO, ONE)
    turned = apply_view(images, neutral(4, turns=2), 48, ZERO, ONE)
    torch.testing.assert_close(flipped, turned)


def test_the_key_view_is_never_turned_and_seeds_decide():
    batch = torch.randint(0, 256, (8, 40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def views(seed: int, **options):
        generator = torch.Generator().manual_seed(seed)
        return TwoViews(32, ViewPolicy(), (0.5,) * 3, (0.25,) * 3, generator, **options)(batch)

    (query, key), rotation = views(0)
    assert query.shape == key.shape == (8, 3, 32, 32)
    assert rotation.dtype == torch.int64
    assert rotation.unique().numel() > 1
    again, same_rotation = views(0)
    assert torch.equal(query, again[0])
    assert torch.equal(key, again[1])
    assert torch.equal(rotation, same_rotation)
    assert not torch.equal(query, views(1)[0][0])
    (unturned_query, unturned_key), none = views(0, rotate_query=False)
    assert none.eq(0).all()
    assert torch.equal(key, unturned_key)
    for turned, unturned, turns in zip(query, unturned_query, rotation, strict=True):
        torch.testing.assert_close(turned, torch.rot90(unturned, int(turns), (1, 2)), atol=1e-4, rtol=0)


def test_hue_of_a_whole_circle_is_no_change(images):
    view = apply_view(images, neutral(4, hue=1.0), 48, ZERO, ONE)
    torch.testing.assert_close(view, images / 255, atol=1e-4, rtol=0)


def test_thesampling_grid_is_torchs():
    theta = geometry(draw_parameters(16, ViewPolicy(flip="both"), torch.Generator().manual_seed(0), rotate=True))
    expected = torch.nn.functional.affine_grid(theta, [16, 3, 33, 33], align_corners=False)
    torch.testing.assert_close(sampling_grid(theta, steps(33, theta.device)), expected, atol=1e-6, rtol=0)
