"""Synthetic dermoscopy: drawn lesions in the layout of a HAM10000 download, for the demo and the tests.

Skin is a colour; a lesion is maps of melanin, blood, keratin, scar and blue-grey depth over it, each a
function of the lesion's own coordinates, so that a second photograph of it shows the same thing turned and
shifted. The classes differ in structure (network, globules, vessels, lacunae, scales) more than in mean
colour, and skin tone, light, hair and framing vary within each. Nothing here is fit for a medical purpose.
"""

import csv
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dermssl.data.layouts.tables import SYNTHETIC_STAMP
from dermssl.errors import DermsslError
from dermssl.files import write_text

Field = np.ndarray  # (S, S) float32
Picture = np.ndarray  # (S, S, 3) float32, 1 = white
Points = np.ndarray  # (P, 2) float64, the picture reaches from -1 to 1

# HAM10000 has 67 % nv and 1.1 % df; a little flatter, so that 200 images still hold several of each.
SHARES = {"nv": 0.60, "mel": 0.12, "bkl": 0.11, "bcc": 0.07, "akiec": 0.05, "vasc": 0.03, "df": 0.02}
FEWEST = 5  # images, and lesions, of a class: one a fold
IMAGES_PER_LESION = 1.34  # as in HAM10000: 10,015 of 7,470

_VERSION = 1
_SITES = ("back", "lower extremity", "trunk", "upper extremity", "abdomen", "face", "chest", "foot", "scalp")
_SKIN = ((240, 208, 190), (232, 190, 168), (222, 174, 146), (198, 146, 114), (160, 110, 82), (118, 78, 58))
_SKIN_SHARES = (0.2, 0.28, 0.24, 0.14, 0.08, 0.06)
_MELANIN = np.array((0.62, 1.02, 1.30), np.float32)  # absorption of R, G, B by one unit
_BLOOD = np.array((0.12, 1.00, 0.80), np.float32)


def write_synthetic(folder: str | Path, *, images: int = 600, size: int = 96, seed: int = 0) -> Path:
    """Write ``HAM10000_metadata.csv`` and ``HAM10000_images/*.jpg`` of drawn lesions.

    Args:
        folder: where to; one that holds the same set already is left as it is.
        images: their number, at least 35 (five of each of the seven classes).
        size: edge length in pixels.
        seed: decides everything.

    Returns:
        The folder.

    Raises:
        DermsslError: too few images, or the folder holds another data set.
    """
    folder = Path(folder)
    if images < FEWEST * len(SHARES):
        raise DermsslError(f"images={images}: at least {FEWEST * len(SHARES)} are needed, {FEWEST} of each class")
    if not 16 <= size <= 2048:
        raise DermsslError(f"size={size}: must be between 16 and 2048 pixels")
    made = json.dumps({"synthetic": _VERSION, "images": images, "size": size, "seed": seed})
    stamp, table = folder / SYNTHETIC_STAMP, folder / "HAM10000_metadata.csv"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made:
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise DermsslError(f"{folder} is not empty; name a new folder for the synthetic images")
    pictures = folder / "HAM10000_images"
    pictures.mkdir(parents=True, exist_ok=True)
    rows = _table(images, seed)
    for index, row in enumerate(rows):
        lesion = int(row["lesion_id"].split("_")[1])
        picture = draw(row["dx"], size, lesion=(seed, lesion), view=(seed, lesion, index))
        picture.save(pictures / f"{row['image_id']}.jpg", quality=92)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(table, text.getvalue())
    write_text(stamp, made)
    return folder


def class_counts(images: int) -> dict[str, int]:
    """Class -> number of images among ``images``: near ``SHARES``, at least ``FEWEST`` of each."""
    counts = {name: max(FEWEST, int(images * share)) for name, share in SHARES.items()}
    counts["nv"] += images - sum(counts.values())
    return counts


def _table(images: int, seed: int) -> list[dict[str, str]]:
    rng = np.random.default_rng([seed, 1])
    rows, lesions = [], 0
    for name, count in class_counts(images).items():
        several = max(min(FEWEST, count), round(count / IMAGES_PER_LESION))
        of_image = [*range(several), *rng.integers(several, size=count - several)]
        patients = [
            {
                "age": f"{5 * int(rng.integers(3, 18))}.0",
                "sex": str(rng.choice(["male", "female"])),
                "localization": str(rng.choice(_SITES)),
                "dataset": str(rng.choice(["synthetic_a", "synthetic_b"])),
            }
            for _ in range(several)
        ]
        rows += [
            {"lesion_id": f"SYN_{lesions + i:07d}", "image_id": "", "dx": name, "dx_type": "drawn"} | patients[i]
            for i in of_image
        ]
        lesions += several
    rows = [rows[i] for i in rng.permutation(len(rows))]
    for index, row in enumerate(rows):
        row["image_id"] = f"SYNTH_{index:07d}"
    return rows


def draw(label: str, size: int, *, lesion: tuple[int, ...], view: tuple[int, ...]) -> Image.Image:
    """One photograph of one lesion.

    Args:
        label: one of the seven classes.
        size: edge length in pixels.
        lesion: seed of the lesion, the skin around it included.
        view: seed of the photograph: turn, distance, light, hair.
    """
    rng, look = np.random.default_rng(lesion), np.random.default_rng(view)
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    x, y = np.meshgrid(axis, axis)
    angle, zoom = look.uniform(0, 2 * np.pi), look.uniform(0.85, 1.3)
    shift = look.normal(0, 0.09, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    u = (turn[0, 0] * (x - shift[0]) + turn[0, 1] * (y - shift[1])).astype(np.float32)
    v = (turn[1, 0] * (x - shift[0]) + turn[1, 1] * (y - shift[1])).astype(np.float32)

    skin = np.array(_SKIN[rng.choice(len(_SKIN), p=_SKIN_SHARES)], np.float32) / 255
    skin = np.clip(skin * rng.normal(1, 0.035, 3), 0.1, 0.97).astype(np.float32)
    coat = _Coat(u, v, rng)
    _PAINTERS[label](coat)
    rgb = coat.over(skin)
    rgb = _mark_lines(rgb, coat, np.linalg.inv(turn), shift, size)
    rgb = _photograph(rgb, x, y, look)
    return Image.fromarray((np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8))


class _Coat:
    """What lies over the skin, as maps over the lesion's coordinates (u, v); painters add to them."""

    def __init__(self, u: Field, v: Field, rng: np.random.Generator) -> None:
        self.u, self.v, self.rng = u, v, rng
        self.melanin, self.blood = np.zeros_like(u), np.zeros_like(u)
        self.blends: list[tuple[Field, tuple[float, float, float]]] = []
        self.clear = float(rng.uniform(0.3, 1.0))  # how plainly this lesion shows the marks of its class
        self.vessels: list[tuple[Points, float]] = []  # points in (u, v), width
        # Skin of its own: fine furrows, uneven redness, a hint of freckles.
        self.blood += 0.10 + 0.06 * self.noise(2.5) + 0.05 * self.noise(9)
        self.melanin += 0.05 * np.abs(self.noise(14)) + 0.03 * self.noise(3)

    def noise(self, frequency: float) -> Field:
        """Smooth value noise in about [-1, 1] with ``frequency`` bumps a unit of length."""
        n = 64
        lattice = self.rng.uniform(-1, 1, (n, n)).astype(np.float32)
        a, b = self.u * frequency + 500, self.v * frequency + 500
        i, j = a.astype(np.int32), b.astype(np.int32)
        s, t = a - i, b - j
        s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
        i0, i1, j0, j1 = i % n, (i + 1) % n, j % n, (j + 1) % n
        top = lattice[i0, j0] * (1 - s) + lattice[i1, j0] * s
        return top * (1 - t) + (lattice[i0, j1] * (1 - s) + lattice[i1, j1] * s) * t

    def cells(self, frequency: float, jitter: float = 0.8) -> tuple[Field, Field]:
        """Jittered points, ``frequency`` a unit: distance to the nearest in cells, and its number in [0, 1]."""
        n = 32
        at = 0.5 + jitter * self.rng.uniform(-0.5, 0.5, (2, n, n)).astype(np.float32)
        mark = self.rng.uniform(0, 1, (n, n)).astype(np.float32)
        a, b = self.u * frequency + 500, self.v * frequency + 500
        i, j = np.floor(a).astype(np.int32), np.floor(b).astype(np.int32)
        nearest, number = np.full_like(a, 9), np.zeros_like(a)
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                p, q = (i + di) % n, (j + dj) % n
                distance = (i + di + at[0, p, q] - a) ** 2 + (j + dj + at[1, p, q] - b) ** 2
                closer = distance < nearest
                nearest, number = np.where(closer, distance, nearest), np.where(closer, mark[p, q], number)
        return np.sqrt(nearest), number

    def network(self, period: float, irregular: float, thin: float = 0.5) -> Field:
        """A honeycomb of lines in [0, 1]; ``irregular`` bends it out of order."""
        du, dv = irregular * self.noise(2.2), irregular * self.noise(2.2)
        k, start = 2 * np.pi / period, self.rng.uniform(0, np.pi)
        waves = sum(
            np.cos(k * ((self.u + du) * np.cos(start + a) + (self.v + dv) * np.sin(start + a)))
            for a in (0, np.pi / 3, 2 * np.pi / 3)
        )
        return _step(thin - waves * 0.6, 0.35).astype(np.float32)

    def body(self, radius: float, irregular: float, soft: float, stretch: float = 1.25) -> tuple[Field, Field]:
        """A blob: (mask in [0, 1], distance from the middle where 1 is its border)."""
        long, turn = self.rng.uniform(1, stretch), self.rng.uniform(0, np.pi)
        a = (self.u * np.cos(turn) + self.v * np.sin(turn)) / np.sqrt(long)
        b = (self.v * np.cos(turn) - self.u * np.sin(turn)) * np.sqrt(long)
        theta = np.arctan2(b, a)
        border = np.ones_like(a)
        for order in range(2, 9):
            height = irregular * self.rng.normal(0, 1) / order**0.8
            border += height * np.cos(order * theta + self.rng.uniform(0, 2 * np.pi))
        border += irregular * 0.5 * self.noise(5)
        reach = np.hypot(a, b) / (radius * np.maximum(border, 0.35))
        return _step(1 - reach, soft / radius), reach.astype(np.float32)

    def patch(self, where: tuple[float, float], radius: float, soft: float) -> Field:
        distance = np.hypot(self.u - where[0], self.v - where[1]) + 0.35 * radius * self.noise(6)
        return _step(radius - distance, soft)

    def blend(self, mask: Field, colour: tuple[float, float, float]) -> None:
        self.blends.append((mask, colour))

    def over(self, skin: np.ndarray) -> Picture:
        depth = self.melanin[..., None] * _MELANIN + self.blood[..., None] * _BLOOD
        rgb = skin * np.exp(-np.maximum(depth, -0.15))
        for mask, colour in self.blends:
            rgb += np.clip(mask, 0, 1)[..., None] * (np.array(colour, np.float32) * skin.mean() / 0.75 - rgb)
        return rgb


def _step(values: Field, width: float) -> Field:
    t = np.clip(values / width * 0.5 + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _spot(coat: _Coat, radius: float) -> tuple[float, float]:
    angle, reach = coat.rng.uniform(0, 2 * np.pi), radius * np.sqrt(coat.rng.uniform(0, 1))
    return float(reach * np.cos(angle)), float(reach * np.sin(angle))


def _nevus(coat: _Coat) -> None:
    """Even and symmetric: a regular network, or globules, or plain brown; a soft edge."""
    rng, radius = coat.rng, coat.rng.uniform(0.32, 0.68)
    mask, reach = coat.body(radius, 0.05, rng.uniform(0.05, 0.16))
    dark = rng.uniform(0.35, 1.0)
    base = dark * (0.75 + 0.25 * np.clip(1 - reach, 0, 1) * rng.choice([-1, 1]) + 0.10 * coat.noise(3))
    kind = rng.choice(3, p=(0.55, 0.25, 0.20))
    if kind == 0:
        base += 0.75 * coat.clear * dark * (coat.network(rng.uniform(0.10, 0.15), 0.04) - 0.4)
    elif kind == 1:
        distance, _ = coat.cells(rng.uniform(6.5, 9), 0.7)
        base += 0.9 * coat.clear * dark * _step(0.33 - distance, 0.12)
    coat.melanin += mask * base
    coat.blood += mask * rng.uniform(0, 0.25)


def _melanoma(coat: _Coat) -> None:
    """Uneven in outline, colour and structure: torn network, black blotches, blue-white veil, regression."""
    rng, radius = coat.rng, coat.rng.uniform(0.45, 0.78)
    mask, reach = coat.body(radius, rng.uniform(0.12, 0.22), rng.uniform(0.03, 0.10), 1.6)
    dark = rng.uniform(0.45, 1.0)
    base = dark * (0.8 + 0.55 * coat.noise(2.0) + 0.2 * coat.noise(5))
    net = coat.network(rng.uniform(0.11, 0.17), 0.08)
    base += coat.clear * dark * (net - 0.4) * _step(coat.noise(1.6), 0.5)
    for _ in range(rng.integers(1, 4)):
        base += rng.uniform(0.7, 1.5) * coat.patch(_spot(coat, radius * 0.8), rng.uniform(0.08, 0.24), 0.07)
    distance, number = coat.cells(rng.uniform(6, 10))
    base += coat.clear * dark * _step(0.28 - distance, 0.1) * (number > 0.6) * _step(reach - 0.55, 0.2)
    coat.melanin += mask * np.maximum(base, 0.1)
    coat.blood += mask * np.maximum(0, 0.35 * coat.noise(2.2))
    if rng.uniform() < 0.7:
        veil = coat.patch(_spot(coat, radius * 0.6), rng.uniform(0.14, 0.3), 0.16)
        coat.blend(0.62 * mask * veil, (0.38, 0.42, 0.52))
    if rng.uniform() < 0.45:
        scar = coat.patch(_spot(coat, radius * 0.7), rng.uniform(0.1, 0.2), 0.1)
        coat.blend(0.6 * mask * scar, (0.86, 0.76, 0.74))


def _keratosis(coat: _Coat) -> None:
    """Stuck on: a sharp, moth-eaten edge, ridges and furrows, pale cysts and dark openings."""
    rng, radius = coat.rng, coat.rng.uniform(0.36, 0.72)
    mask, _ = coat.body(radius, rng.uniform(0.06, 0.12), rng.uniform(0.015, 0.04), 1.4)
    dark = rng.uniform(0.25, 0.85)
    ridges = np.abs(coat.noise(rng.uniform(6, 9)) + 0.4 * coat.noise(3))
    base = dark * (0.85 + 0.15 * coat.noise(2.5)) + 0.7 * coat.clear * dark * (_step(0.16 - ridges, 0.16) - 0.3)
    distance, number = coat.cells(rng.uniform(5, 8), 0.9)
    base += coat.clear * _step(0.22 - distance, 0.08) * (number > 0.75)
    coat.melanin += mask * base
    coat.blend(mask * rng.uniform(0.12, 0.4), (0.74, 0.62, 0.42))
    cysts = mask * _step(0.2 - distance, 0.08) * (number < 0.25)
    coat.blend(0.8 * coat.clear * cysts, (0.92, 0.86, 0.74))


def _basal_cell(coat: _Coat) -> None:
    """Pearly pink without a network: branching vessels, blue-grey nests, at times an ulcer; no clear edge."""
    rng, radius = coat.rng, coat.rng.uniform(0.38, 0.68)
    mask, _ = coat.body(radius, 0.09, rng.uniform(0.12, 0.22), 1.4)
    coat.blood += mask * (rng.uniform(0.15, 0.4) + 0.12 * coat.noise(3))
    coat.blend(mask * rng.uniform(0.15, 0.4), (0.90, 0.72, 0.70))
    for _ in range(rng.integers(1, 6)):
        nest = coat.patch(_spot(coat, radius * 0.85), rng.uniform(0.05, 0.15), 0.05)
        coat.blend(rng.uniform(0.5, 0.85) * mask * nest, (0.33, 0.34, 0.42))
    if rng.uniform() < 0.3:
        ulcer = coat.patch(_spot(coat, radius * 0.4), rng.uniform(0.08, 0.16), 0.04)
        coat.blend(0.8 * ulcer, (0.48, 0.16, 0.12))
    coat.melanin += mask * rng.uniform(0, 0.2)
    for _ in range(rng.integers(2, 6)):
        start = rng.uniform(0, 2 * np.pi)
        root = np.array([np.cos(start), np.sin(start)]) * radius * rng.uniform(0.7, 1.05)
        _branch(coat, root, start + np.pi + rng.normal(0, 0.4), radius * 1.1, 0.022, 3)


def _actinic(coat: _Coat) -> None:
    """Red and scaly: a red net around pale follicles ("strawberry"), yellow-white scale; no clear edge."""
    rng, radius = coat.rng, coat.rng.uniform(0.42, 0.8)
    mask, _ = coat.body(radius, 0.14, rng.uniform(0.12, 0.25), 1.5)
    distance, number = coat.cells(rng.uniform(4.5, 7), 0.75)
    coat.blood += mask * (rng.uniform(0.15, 0.4) + 0.5 * coat.clear * _step(distance - 0.38, 0.2))
    coat.blend(0.6 * coat.clear * mask * _step(0.2 - distance, 0.14), (0.92, 0.80, 0.68))
    scale = _step(coat.noise(4) + 0.5 * coat.noise(11) - rng.uniform(0.2, 0.5), 0.25)
    coat.blend(0.6 * mask * scale, (0.90, 0.83, 0.75))
    coat.melanin += mask * (rng.uniform(0, 0.4) * np.maximum(0, coat.noise(2)) + 0.2 * (number > 0.85))


def _dermatofibroma(coat: _Coat) -> None:
    """A white scar in the middle of a delicate ring of network."""
    rng, radius = coat.rng, coat.rng.uniform(0.34, 0.6)
    mask, reach = coat.body(radius, 0.05, rng.uniform(0.1, 0.18))
    dark = rng.uniform(0.3, 0.7)
    ring = mask * _step(reach - rng.uniform(0.35, 0.5), 0.2)
    coat.melanin += ring * dark * (0.5 + coat.clear * coat.network(rng.uniform(0.10, 0.14), 0.04)) + 0.15 * mask
    coat.blood += mask * rng.uniform(0.1, 0.35)
    middle = _step(rng.uniform(0.4, 0.6) - reach + 0.12 * coat.noise(5), 0.2)
    coat.blend(rng.uniform(0.35, 0.75) * middle, (0.92, 0.82, 0.79))


def _vascular(coat: _Coat) -> None:
    """Red, purple or nearly black lacunae, sharply set apart by pale septa."""
    rng, radius = coat.rng, coat.rng.uniform(0.26, 0.56)
    mask, _ = coat.body(radius, 0.07, rng.uniform(0.02, 0.06), 1.4)
    distance, number = coat.cells(rng.uniform(3.2, 5.5), 0.9)
    pool = _step(rng.uniform(0.42, 0.52) - distance, 0.14)
    coat.blood += mask * (rng.uniform(0.3, 0.6) + rng.uniform(0.8, 1.6) * pool * (0.6 + 0.6 * number))
    coat.blend(0.55 * mask * pool * (number > rng.uniform(0.4, 1.0)), (0.30, 0.10, 0.24))
    coat.blend(0.4 * mask * (1 - pool), (0.88, 0.62, 0.60))


_PAINTERS = {
    "nv": _nevus,
    "mel": _melanoma,
    "bkl": _keratosis,
    "bcc": _basal_cell,
    "akiec": _actinic,
    "df": _dermatofibroma,
    "vasc": _vascular,
}


def _branch(coat: _Coat, start: np.ndarray, angle: float, length: float, width: float, depth: int) -> None:
    steps = 8
    points = [start]
    for _ in range(steps):
        angle += coat.rng.normal(0, 0.22)
        points.append(points[-1] + length / steps * np.array([np.cos(angle), np.sin(angle)]))
    coat.vessels.append((np.array(points), width))
    if depth > 1:
        for at in coat.rng.integers(2, steps + 1, size=2):
            turn = coat.rng.choice([-1, 1]) * coat.rng.uniform(0.5, 1.0)
            _branch(coat, points[at], angle + turn, length * 0.5, width * 0.7, depth - 1)


def _mark_lines(
    rgb: Picture,
    coat: _Coat,
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
        rgb = rgb * (1 - look.uniform(0.1, 0.45) * _step(reach - 1.0, 0.5))[..., None]
    elif edge == 2:
        rgb = rgb * (1 - 0.97 * _step(reach - look.uniform(0.95, 1.25), 0.04))[..., None]
    return (rgb + look.normal(0, look.uniform(0.004, 0.018), rgb.shape)).astype(np.float32)


def _ruler(look: np.random.Generator) -> list[tuple[Points, float]]:
    """Millimetre marks along one edge of the picture, every fifth one longer."""
    turn, gap, offset = look.integers(4), look.uniform(0.09, 0.16), look.uniform(0.7, 0.9)
    c, s = np.cos(turn * np.pi / 2), np.sin(turn * np.pi / 2)
    marks = []
    for index, along in enumerate(np.arange(-1, 1, gap)):
        long = 0.16 if index % 5 == 0 else 0.09
        ends = np.array([[along, offset], [along, offset + long]])
        marks.append((ends @ np.array([[c, s], [-s, c]]), 0.02))
    return marks
