"""Drawn photographs of drawn lesions: skin tone, framing, light, hair and what else differs from shot to shot."""

import numpy as np
from PIL import Image, ImageDraw

from dermssl.data.synthetic_lesions import PAINTERS, Coat, Field, Picture, Points, step

CLOSER = 1.4  # how much nearer than others an upright photograph is taken
PLAIN = 0.85  # how plainly an upright lesion shows the marks of its class, at least
_SKIN = ((240, 208, 190), (232, 190, 168), (222, 174, 146), (198, 146, 114), (160, 110, 82), (118, 78, 58))
_SKIN_SHARES = (0.2, 0.28, 0.24, 0.14, 0.08, 0.06)


def draw(
    label: str, size: int, *, lesion: tuple[int, ...], view: tuple[int, ...], upright: bool = False
) -> Image.Image:
    """One photograph of one lesion.

    Args:
        label: one of the seven classes.
        size: edge length in pixels.
        lesion: seed of the lesion, the skin around it included.
        view: seed of the photograph: turn, distance, light, hair.
        upright: the picture has an up: light from above, hair that hangs down, a ruler below; the marks of the class
            are plain, and exposure and colour differ more from shot to shot.
    """
    rng, look = np.random.default_rng(lesion), np.random.default_rng(view)
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    x, y = np.meshgrid(axis, axis)
    angle, zoom = look.uniform(0, 2 * np.pi), look.uniform(0.85, 1.3)
    if upright:
        zoom *= CLOSER
    shift = look.normal(0, 0.09, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    u = (turn[0, 0] * (x - shift[0]) + turn[0, 1] * (y - shift[1])).astype(np.float32)
    v = (turn[1, 0] * (x - shift[0]) + turn[1, 1] * (y - shift[1])).astype(np.float32)

    skin = np.array(_SKIN[rng.choice(len(_SKIN), p=_SKIN_SHARES)], np.float32) / 255
    skin = np.clip(skin * rng.normal(1, 0.035, 3), 0.1, 0.97).astype(np.float32)
    coat = Coat(u, v, rng)
    if upright:
        coat.clear = max(coat.clear, PLAIN)
    PAINTERS[label](coat)
    rgb = coat.over(skin)
    rgb = _mark_lines(rgb, coat, np.linalg.inv(turn), shift, size)
    rgb = _upright(rgb, x, y, look) if upright else _photograph(rgb, x, y, look)
    return Image.fromarray((np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8))


def _mark_lines(
    rgb: Picture,
    coat: Coat,
    turn: np.ndarray,
    shift: np.ndarray,
    size: int,
) -> Picture:
    """Draw the vessels: lines in lesion coordinates, carried into the picture."""
    lines = [(points @ turn.T + shift, width) for points, width in coat.vessels]
    if not lines:
        return rgb
    return _ink(rgb, _strokes(lines, size), (0.66, 0.17, 0.17), 0.25 + 0.5 * coat.clear)


def _strokes(lines: list[tuple[Points, float]], size: int) -> Field:
    """Antialiased polylines in [-1, 1] coordinates with widths in the same unit: (S, S) in [0, 1]."""
    fine = 3
    canvas = Image.new("L", (size * fine, size * fine))
    pen = ImageDraw.Draw(canvas)
    for points, width in lines:
        pixels = ((points + 1) * 0.5 * size * fine).ravel().tolist()
        pen.line(pixels, fill=255, width=max(1, round(width * 0.5 * size * fine)), joint="curve")
    return np.asarray(canvas.reduce(fine), np.float32) / 255


def _ink(rgb: Picture, mask: Field, colour: tuple[float, float, float], strength: float) -> Picture:
    return rgb + strength * mask[..., None] * (np.array(colour, np.float32) - rgb)


def _photograph(rgb: Picture, x: Field, y: Field, look: np.random.Generator) -> Picture:
    """What the camera adds: hair and ruler over the lens, light, colour cast, vignette, noise."""
    size = len(x)
    if look.uniform() < 0.45:
        hairs = []
        for _ in range(look.integers(1, 9)):
            a, c = look.uniform(-1.2, 1.2, 2), look.uniform(-1.2, 1.2, 2)
            b = (a + c) / 2 + look.normal(0, 0.25, 2)
            t = np.linspace(0, 1, 14)[:, None]
            hairs.append(((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c, look.uniform(0.008, 0.022)))
        dark = (0.10, 0.07, 0.06) if look.uniform() < 0.75 else (0.52, 0.38, 0.22)
        rgb = _ink(rgb, _strokes(hairs, size), dark, look.uniform(0.55, 0.9))
    if look.uniform() < 0.15:
        rgb = _ink(rgb, _strokes(_ruler(look), size), (0.12, 0.11, 0.12), 0.8)
    tilt = look.uniform(0, 2 * np.pi)
    light = 1 + look.uniform(0, 0.14) * (x * np.cos(tilt) + y * np.sin(tilt))
    light *= look.uniform(0.78, 1.15)
    rgb = rgb * light[..., None] * np.clip(look.normal(1, 0.035, 3), 0.88, 1.12).astype(np.float32)
    if look.uniform() < 0.12:  # the reflection of the lamp, or a bubble in the gel
        distance = np.hypot(x - look.uniform(-0.8, 0.8), y - look.uniform(-0.8, 0.8))
        rgb = rgb + (look.uniform(0.1, 0.3) * np.exp(-((distance / look.uniform(0.04, 0.2)) ** 2)))[..., None]
    reach = np.hypot(x - look.normal(0, 0.04), y - look.normal(0, 0.04))
    edge = look.choice(3, p=(0.5, 0.35, 0.15))
    if edge == 1:
        rgb = rgb * (1 - look.uniform(0.1, 0.45) * step(reach - 1.0, 0.5))[..., None]
    elif edge == 2:
        rgb = rgb * (1 - 0.97 * step(reach - look.uniform(0.95, 1.25), 0.04))[..., None]
    return (rgb + look.normal(0, look.uniform(0.004, 0.018), rgb.shape)).astype(np.float32)


def _upright(rgb: Picture, x: Field, y: Field, look: np.random.Generator) -> Picture:
    """A photograph with an up, by cameras that agree on little else."""
    size = len(x)
    if look.uniform() < 0.6:
        hairs: list[tuple[Points, float]] = []
        for _ in range(look.integers(3, 12)):
            start, lean = np.array([look.uniform(-1.1, 1.1), look.uniform(-1.2, 0.2)]), look.normal(0, 0.18)
            length, width = look.uniform(0.5, 1.1), look.uniform(0.012, 0.026)
            t = np.linspace(0, 1, 12)[:, None]
            points = start + length * np.hstack([lean * t**2, t])
            # thick at the root above, thin at the tip below
            hairs += [(points[:5], width), (points[4:9], 0.7 * width), (points[8:], 0.4 * width)]
        rgb = _ink(rgb, _strokes(hairs, size), (0.10, 0.07, 0.06), look.uniform(0.55, 0.9))
    if look.uniform() < 0.4:
        rgb = _ink(rgb, _strokes(_ruler(look, turn=0), size), (0.12, 0.11, 0.12), 0.8)
    light = look.uniform(0.7, 1.15) * (1 - look.uniform(0.18, 0.4) * y)
    rgb = rgb * light[..., None] * np.clip(look.normal(1, 0.09, 3), 0.75, 1.25).astype(np.float32)
    return (rgb + look.normal(0, look.uniform(0.004, 0.018), rgb.shape)).astype(np.float32)


def _ruler(look: np.random.Generator, turn: int | None = None) -> list[tuple[Points, float]]:
    """Millimetre marks along one edge of the picture (0: the lower one), every fifth one longer."""
    turn = int(look.integers(4)) if turn is None else turn
    gap, offset = look.uniform(0.09, 0.16), look.uniform(0.7, 0.9)
    c, s = np.cos(turn * np.pi / 2), np.sin(turn * np.pi / 2)
    marks = []
    for index, along in enumerate(np.arange(-1, 1, gap)):
        long = 0.16 if index % 5 == 0 else 0.09
        ends = np.array([[along, offset], [along, offset + long]])
        marks.append((ends @ np.array([[c, s], [-s, c]]), 0.02))
    return marks
