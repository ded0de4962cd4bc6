"""Views of photographs that are not square: cropped in their own geometry, seen everywhere, favouring no axis."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.utils._python_dispatch import TorchDispatchMode

from dermssl.data.augment import TwoViews, draw_parameters, parameters_from
from dermssl.data.jigsaw import PATCHES, JigsawViews, draw_puzzle, patches_from
from dermssl.data.policy import ViewPolicy
from dermssl.data.render import Renderer

PLAIN = ViewPolicy(brightness=0, contrast=0, saturation=0, hue=0, grayscale=0)
ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("aspect", [1.0, 4 / 3, 3 / 4, 2.5, 0.4])
def test_crops_are_those_of_a_plain_loop_over_photographs(aspect, told):
    """In float64 and in pixels of a photograph whose shorter edge is 1."""
    policy, count = ViewPolicy(), 500
    uniform = torch.rand(13, count, generator=seeded())
    drawn = parameters_from(uniform, policy, told=told, aspects=torch.full((count,), aspect))
    u = uniform.double().numpy()
    across, down = max(1.0, aspect), max(1.0, 1 / aspect)  # the photograph
    for i in range(count):
        area = 0.2 + 0.8 * u[0, i]
        stretch = math.exp((2 * u[1, i] - 1) * math.log(4 / 3))
        width, height = min(1.0, math.sqrt(area * stretch)), min(1.0, math.sqrt(area / stretch))
        if told:  # in the middle square
            left, top = (across - 1) / 2 + (1 - width) * u[2, i], (down - 1) / 2 + (1 - height) * u[3, i]
        else:
            left, top = (across - width) * u[2, i], (down - height) * u[3, i]
        found = [drawn.width[i] * across, drawn.height[i] * down]
        found += [(drawn.x[i] + 1) / 2 * across - width / 2, (drawn.y[i] + 1) / 2 * down - height / 2]
        assert [float(value) for value in found] == pytest.approx([width, height, left, top], abs=1e-6 * across * down)


def test_square_images_have_the_bits_they_had():
    images = torch.randint(0, 256, (8, 40, 40, 3), dtype=torch.uint8, generator=seeded(1))
    index = torch.arange(8)
    for make in (TwoViews, JigsawViews):
        without = make(32, ViewPolicy(), ZERO, ONE, seeded())(images, index)
        with_ones = make(32, ViewPolicy(), ZERO, ONE, seeded(), aspects=np.ones(8))(images, index)
        among_others = make(32, ViewPolicy(), ZERO, ONE, seeded(), aspects=np.r_[np.ones(8), 1.5])(images, index)
        for views in (with_ones, among_others):
            assert all(torch.equal(a, b) for a, b in zip(without[0], views[0], strict=True))
            assert torch.equal(without[1], views[1])


@pytest.mark.parametrize("aspect", [4 / 3, 3 / 4])
def test_the_stretch_favours_no_axis_and_every_corner_is_seen(aspect):
    count = 20_000
    p = draw_parameters(count, ViewPolicy(), seeded(), aspects=torch.full((count,), aspect))
    stretch = (p.width / p.height * aspect).log()  # of what is seen, in the photograph's own pixels
    assert stretch.mean().abs() < 0.005
    ordered = stretch.sort().values
    assert (ordered + ordered.flip(0)).abs().max() < 0.02, "as often as wide as it is narrow, by as much"
    assert stretch.abs().max() <= math.log(4 / 3) + 1e-5
    for x in (-1, 1):
        for y in (-1, 1):
            seen = ((x - p.x).abs() <= p.width + 0.02) & ((y - p.y).abs() <= p.height + 0.02)
            assert seen.float().mean() > 0.002
    assert (p.x.abs() + p.width).max() <= 1 + 1e-5
    assert (p.y.abs() + p.height).max() <= 1 + 1e-5


@pytest.mark.parametrize("aspect", [4 / 3, 3 / 4, 3.0])
@pytest.mark.parametrize("kind", ["query", "crop"])
def test_the_place_of_a_view_does_not_tell_its_turn(monkeypatch, aspect, kind):
    """A view that is turned lies as far from the middle along both edges; the others lie anywhere."""
    drawn, count = [], 20_000
    monkeypatch.setattr(Renderer, "__call__", lambda self, images, p: drawn.append(p) or images)
    options = {"rotate_query": False, "with_crop": True} if kind == "crop" else {}
    views = TwoViews(32, ViewPolicy(), ZERO, ONE, seeded(), aspects=np.full(count, aspect), **options)
    views(torch.zeros(count, 2, 2, 3, dtype=torch.uint8), torch.arange(count))
    across, down = max(1.0, aspect), max(1.0, 1 / aspect)
    for number, p in enumerate(drawn):
        x, y = p.x * across, p.y * down  # in half shorter edges
        right, bottom = x.abs() + p.width * across, y.abs() + p.height * down
        if number == (2 if kind == "crop" else 0):
            assert len(p.turns.unique()) == 4
            quantiles = torch.linspace(0.05, 0.95, 19)
            torch.testing.assert_close(x.quantile(quantiles), y.quantile(quantiles), atol=0.03, rtol=0)
            assert max(right.max(), bottom.max()) <= 1 + 1e-5
            assert min(right.max(), bottom.max()) > 0.99, "all of the middle square is seen"
            even = p.turns % 2 == 0
            for axis in (x, y):
                assert (axis[even].square().mean() - axis[~even].square().mean()).abs() < 0.01
        else:
            assert (p.turns == 0).all()
            assert right.max() > across - 0.01
            assert bottom.max() > down - 0.01, "all of the photograph is seen"


def test_views_that_nobody_turns_lie_anywhere(monkeypatch):
    drawn, count = [], 2_000
    monkeypatch.setattr(Renderer, "__call__", lambda self, images, p: drawn.append(p) or images)
    views = TwoViews(32, ViewPolicy(), ZERO, ONE, seeded(), rotate_query=False, aspects=np.full(count, 2.0))
    views(torch.zeros(count, 2, 2, 3, dtype=torch.uint8), torch.arange(count))
    assert len(drawn) == 2
    assert all((p.x.abs() + p.width).max() > 0.99 for p in drawn)


def squashed_circle(size: int = 240) -> tuple[torch.Tensor, float]:
    """A white disc of a third of the height in the middle of a 4:3 photograph, as a cache stores it."""
    photograph = Image.new("RGB", (640, 480))
    ImageDraw.Draw(photograph).ellipse((240, 160, 400, 320), fill="white")
    return torch.from_numpy(np.array(photograph.resize((size, size), Image.Resampling.BICUBIC)))[None], 4 / 3


def extent(view: torch.Tensor) -> tuple[float, float]:
    """Width and height of what is white in (3, S, S), in pixels: its area over its greatest height, and width."""
    white = view.mean(0)
    return float(white.sum(1).max()), float(white.sum(0).max())


def test_a_circle_stays_a_circle():
    image, aspect = squashed_circle()
    upright = ViewPolicy(crop_scale=0.9999, flip="none", brightness=0, contrast=0, saturation=0, hue=0, grayscale=0)
    images = image.expand(256, -1, -1, -1)

    def ratios(aspects) -> torch.Tensor:
        views = TwoViews(120, upright, ZERO, ONE, seeded(), rotate_query=False, with_key=False, aspects=aspects)
        (view,), _ = views(images, torch.zeros(256, dtype=torch.long))
        whole = [v for v in view if max(v[:, 0].max(), v[:, -1].max(), v[:, :, 0].max(), v[:, :, -1].max()) < 0.1]
        return torch.tensor([math.log(a / b) for a, b in map(extent, whole)])

    corrected, as_if_square = ratios(np.array([aspect])), ratios(None)
    assert len(corrected) > 150
    # the jitter of the shape goes either way: the middle is what counts
    assert corrected.mean().abs() < 0.03
    assert as_if_square.mean() == pytest.approx(-math.log(aspect), abs=0.03)


def test_patches_of_a_puzzle_are_as_isotropic():
    count = 5_000
    p = patches_from(*draw_puzzle(count, seeded()), PLAIN, torch.full((count,), 4 / 3))
    stretch = (p.width / p.height * 4 / 3).log().view(count, PATCHES)
    assert stretch.mean().abs() < 0.01
    assert (p.x.abs() + p.width).max() <= 1 + 1e-5
    square = patches_from(*draw_puzzle(count, seeded()), PLAIN)
    torch.testing.assert_close(p.height, square.height)
    torch.testing.assert_close(p.width * 4 / 3, square.width)


def test_photographs_need_their_numbers():
    images = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
    with pytest.raises(TypeError, match="need the numbers of the images"):
        TwoViews(8, PLAIN, ZERO, ONE, seeded(), aspects=np.array([1.5, 1.0]))(images)


class FromHost(TorchDispatchMode):
    """Counts what would copy from the host or wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, kwargs = str(func), kwargs or {}
        moved = "_to_copy" in name and kwargs.get("device") is not None
        made = "lift_fresh" in name or "scalar_tensor" in name or "_local_scalar_dense" in name or "item" in name
        if moved or made:
            self.seen.append(name)
        return func(*args, **kwargs)


@pytest.mark.parametrize("aspects", [None, np.full(6, 1.5)])
@pytest.mark.parametrize("kind", ["two", "crop", "jigsaw"])
def test_a_step_copies_nothing_from_the_host_and_waits_for_nothing(kind, aspects):
    images = torch.zeros(6, 40, 40, 3, dtype=torch.uint8)
    mean, std, index = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), torch.arange(6)
    if kind == "jigsaw":
        views = JigsawViews(32, ViewPolicy(), mean, std, seeded(), aspects=aspects)
    else:
        views = TwoViews(32, ViewPolicy(), mean, std, seeded(), with_crop=kind == "crop", aspects=aspects)
    with FromHost() as counter:
        views(images, index)
    assert counter.seen == []
    with FromHost() as control:
        torch.zeros(1).new_tensor([1.0]).item()
    assert len(control.seen) >= 2
