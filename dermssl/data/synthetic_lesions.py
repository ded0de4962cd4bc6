"""Drawn lesions: maps of melanin, blood, keratin, scar and blue-grey depth over the skin.

Each map is a function of the lesion's own coordinates, so that a second photograph of it shows the same thing turned
and shifted. The classes differ in structure (network, globules, vessels, lacunae, scales) more than in mean colour.
Nothing here is fit for a medical purpose.
"""

import numpy as np

Field = np.ndarray  # (S, S) float32
Picture = np.ndarray  # (S, S, 3) float32, 1 = white
Points = np.ndarray  # (P, 2) float64, the picture reaches from -1 to 1

_MELANIN = np.array((0.62, 1.02, 1.30), np.float32)  # absorption of R, G, B by one unit
_BLOOD = np.array((0.12, 1.00, 0.80), np.float32)


class Coat:
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
        """Smooth value noise in about [-1, 1] with ``frequency`` bumps per unit of length."""
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
        """Jittered points, ``frequency`` per unit: distance to the nearest in cells, and its number in [0, 1]."""
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

    def network(self, period: float, irregular: float) -> Field:
        """A honeycomb of lines in [0, 1]; ``irregular`` bends it out of order."""
        du, dv = irregular * self.noise(2.2), irregular * self.noise(2.2)
        k, start = 2 * np.pi / period, self.rng.uniform(0, np.pi)
        waves = sum(
            np.cos(k * ((self.u + du) * np.cos(start + a) + (self.v + dv) * np.sin(start + a)))
            for a in (0, np.pi / 3, 2 * np.pi / 3)
        )
        return step(0.5 - waves * 0.6, 0.35).astype(np.float32)

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
        return step(1 - reach, soft / radius), reach.astype(np.float32)

    def patch(self, where: tuple[float, float], radius: float, soft: float) -> Field:
        distance = np.hypot(self.u - where[0], self.v - where[1]) + 0.35 * radius * self.noise(6)
        return step(radius - distance, soft)

    def blend(self, mask: Field, colour: tuple[float, float, float]) -> None:
        self.blends.append((mask, colour))

    def over(self, skin: np.ndarray) -> Picture:
        depth = self.melanin[..., None] * _MELANIN + self.blood[..., None] * _BLOOD
        rgb = skin * np.exp(-np.maximum(depth, -0.15))
        for mask, colour in self.blends:
            rgb += np.clip(mask, 0, 1)[..., None] * (np.array(colour, np.float32) * skin.mean() / 0.75 - rgb)
        return rgb


def step(values: Field, width: float) -> Field:
    t = np.clip(values / width * 0.5 + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _spot(coat: Coat, radius: float) -> tuple[float, float]:
    angle, reach = coat.rng.uniform(0, 2 * np.pi), radius * np.sqrt(coat.rng.uniform(0, 1))
    return float(reach * np.cos(angle)), float(reach * np.sin(angle))


def _nevus(coat: Coat) -> None:
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
        base += 0.9 * coat.clear * dark * step(0.33 - distance, 0.12)
    coat.melanin += mask * base
    coat.blood += mask * rng.uniform(0, 0.25)


def _melanoma(coat: Coat) -> None:
    """Uneven in outline, colour and structure: torn network, black blotches, blue-white veil, regression."""
    rng, radius = coat.rng, coat.rng.uniform(0.45, 0.78)
    mask, reach = coat.body(radius, rng.uniform(0.12, 0.22), rng.uniform(0.03, 0.10), 1.6)
    dark = rng.uniform(0.45, 1.0)
    base = dark * (0.8 + 0.55 * coat.noise(2.0) + 0.2 * coat.noise(5))
    net = coat.network(rng.uniform(0.11, 0.17), 0.08)
    base += coat.clear * dark * (net - 0.4) * step(coat.noise(1.6), 0.5)
    for _ in range(rng.integers(1, 4)):
        base += rng.uniform(0.7, 1.5) * coat.patch(_spot(coat, radius * 0.8), rng.uniform(0.08, 0.24), 0.07)
    distance, number = coat.cells(rng.uniform(6, 10))
    base += coat.clear * dark * step(0.28 - distance, 0.1) * (number > 0.6) * step(reach - 0.55, 0.2)
    coat.melanin += mask * np.maximum(base, 0.1)
    coat.blood += mask * np.maximum(0, 0.35 * coat.noise(2.2))
    if rng.uniform() < 0.7:
        veil = coat.patch(_spot(coat, radius * 0.6), rng.uniform(0.14, 0.3), 0.16)
        coat.blend(0.62 * mask * veil, (0.38, 0.42, 0.52))
    if rng.uniform() < 0.45:
        scar = coat.patch(_spot(coat, radius * 0.7), rng.uniform(0.1, 0.2), 0.1)
        coat.blend(0.6 * mask * scar, (0.86, 0.76, 0.74))


def _keratosis(coat: Coat) -> None:
    """Stuck on: a sharp, moth-eaten edge, ridges and furrows, pale cysts and dark openings."""
    rng, radius = coat.rng, coat.rng.uniform(0.36, 0.72)
    mask, _ = coat.body(radius, rng.uniform(0.06, 0.12), rng.uniform(0.015, 0.04), 1.4)
    dark = rng.uniform(0.25, 0.85)
    ridges = np.abs(coat.noise(rng.uniform(6, 9)) + 0.4 * coat.noise(3))
    base = dark * (0.85 + 0.15 * coat.noise(2.5)) + 0.7 * coat.clear * dark * (step(0.16 - ridges, 0.16) - 0.3)
    distance, number = coat.cells(rng.uniform(5, 8), 0.9)
    base += coat.clear * step(0.22 - distance, 0.08) * (number > 0.75)
    coat.melanin += mask * base
    coat.blend(mask * rng.uniform(0.12, 0.4), (0.74, 0.62, 0.42))
    cysts = mask * step(0.2 - distance, 0.08) * (number < 0.25)
    coat.blend(0.8 * coat.clear * cysts, (0.92, 0.86, 0.74))


def _basal_cell(coat: Coat) -> None:
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


def _actinic(coat: Coat) -> None:
    """Red and scaly: a red net around pale follicles ("strawberry"), yellow-white scale; no clear edge."""
    rng, radius = coat.rng, coat.rng.uniform(0.42, 0.8)
    mask, _ = coat.body(radius, 0.14, rng.uniform(0.12, 0.25), 1.5)
    distance, number = coat.cells(rng.uniform(4.5, 7), 0.75)
    coat.blood += mask * (rng.uniform(0.15, 0.4) + 0.5 * coat.clear * step(distance - 0.38, 0.2))
    coat.blend(0.6 * coat.clear * mask * step(0.2 - distance, 0.14), (0.92, 0.80, 0.68))
    scale = step(coat.noise(4) + 0.5 * coat.noise(11) - rng.uniform(0.2, 0.5), 0.25)
    coat.blend(0.6 * mask * scale, (0.90, 0.83, 0.75))
    coat.melanin += mask * (rng.uniform(0, 0.4) * np.maximum(0, coat.noise(2)) + 0.2 * (number > 0.85))


def _dermatofibroma(coat: Coat) -> None:
    """A white scar in the middle of a delicate ring of network."""
    rng, radius = coat.rng, coat.rng.uniform(0.34, 0.6)
    mask, reach = coat.body(radius, 0.05, rng.uniform(0.1, 0.18))
    dark = rng.uniform(0.3, 0.7)
    ring = mask * step(reach - rng.uniform(0.35, 0.5), 0.2)
    coat.melanin += ring * dark * (0.5 + coat.clear * coat.network(rng.uniform(0.10, 0.14), 0.04)) + 0.15 * mask
    coat.blood += mask * rng.uniform(0.1, 0.35)
    middle = step(rng.uniform(0.4, 0.6) - reach + 0.12 * coat.noise(5), 0.2)
    coat.blend(rng.uniform(0.35, 0.75) * middle, (0.92, 0.82, 0.79))


def _vascular(coat: Coat) -> None:
    """Red, purple or nearly black lacunae, sharply set apart by pale septa."""
    rng, radius = coat.rng, coat.rng.uniform(0.26, 0.56)
    mask, _ = coat.body(radius, 0.07, rng.uniform(0.02, 0.06), 1.4)
    distance, number = coat.cells(rng.uniform(3.2, 5.5), 0.9)
    pool = step(rng.uniform(0.42, 0.52) - distance, 0.14)
    coat.blood += mask * (rng.uniform(0.3, 0.6) + rng.uniform(0.8, 1.6) * pool * (0.6 + 0.6 * number))
    coat.blend(0.55 * mask * pool * (number > rng.uniform(0.4, 1.0)), (0.30, 0.10, 0.24))
    coat.blend(0.4 * mask * (1 - pool), (0.88, 0.62, 0.60))


PAINTERS = {
    "nv": _nevus,
    "mel": _melanoma,
    "bkl": _keratosis,
    "bcc": _basal_cell,
    "akiec": _actinic,
    "df": _dermatofibroma,
    "vasc": _vascular,
}


def _branch(coat: Coat, start: np.ndarray, angle: float, length: float, width: float, depth: int) -> None:
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
