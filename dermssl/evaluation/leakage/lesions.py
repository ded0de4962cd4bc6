"""The same lesion photographed twice: the pairs of other lesions that a network finds most alike.

Copies share their detail; two photographs of one lesion need not share a pixel. A network's features rank the pairs
that a person should look at, and what is known says how good that ranking is: where the siblings of lesions with
several images stand in it, and pairs that somebody named.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dermssl.tables import markdown_table

MOST = 1000  # candidates that are kept
NEAREST = 10  # of each image, of other groups: what candidates are taken from
WITHIN = (1, 5, 10, 100)
_CHUNK = 1024


@dataclass(frozen=True)
class NamedPair:
    """A pair that was named, in the ranking.

    Attributes:
        neighbour_rank: 1 if no image of another group is more like one of the two than the other is.
        pair_rank: 1 if no pair of images of different groups is more alike.
    """

    first: str
    second: str
    similarity: float
    neighbour_rank: int
    pair_rank: int


@dataclass(frozen=True)
class LesionRanking:
    """Pairs of images of different groups by the similarity of their features.

    Attributes:
        candidates: (first, second, cosine) of the most alike pairs, best first.
        pairs: how many pairs of images of different groups there are.
        lesions, images: groups with several images, and their images.
        within: k -> share of these images whose nearest sibling is among its k nearest (other siblings aside).
        median_rank: of the nearest sibling.
        named: the pairs that were named, in their order.
    """

    candidates: tuple[tuple[str, str, float], ...]
    pairs: int
    lesions: int
    images: int
    within: dict[int, float]
    median_rank: float | None
    named: tuple[NamedPair, ...]

    def to_markdown(self) -> str:
        """Where what is known stands."""
        lines = self.sentences()
        if self.named:
            lines += ["", markdown_table(*self.table())]
        return "\n".join(lines)

    def sentences(self) -> list[str]:
        """How many candidates there are, and where the siblings of known lesions stand."""
        lines = [f"{len(self.candidates):,} candidates for one lesion photographed twice, of {self.pairs:,} pairs."]
        if self.images:
            shares = ", ".join(f"{100 * share:.1f} % among {k}" for k, share in self.within.items())
            lines.append(
                f"Of {self.images:,} images of {self.lesions:,} lesions with several, the nearest sibling is among the "
                f"nearest neighbours: {shares}; median rank {self.median_rank:g}."
            )
        if self.named:
            near = [sum(pair.neighbour_rank <= k for pair in self.named) for k in WITHIN]
            counts = ", ".join(f"{count} among {k}" for count, k in zip(near, WITHIN, strict=True))
            lines.append(
                f"Of {len(self.named)} pairs that are known to show one lesion, the one image is among the nearest "
                f"neighbours of the other: {counts}."
            )
        return lines

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: the named pairs and their places."""
        header = ["named pair", "", "cosine", "rank as neighbour", "rank of all pairs"]
        return header, [
            [p.first, p.second, f"{p.similarity:.3f}", f"{p.neighbour_rank:,}", f"{p.pair_rank:,}"] for p in self.named
        ]


def rank_lesions(
    features: np.ndarray, ids: Sequence[str], groups: np.ndarray, named: Sequence[tuple[int, int]] = ()
) -> LesionRanking:
    """Rank the pairs of images of different groups.

    Args:
        features: (N, D), compared by cosine once they are standardised.
        ids: (N,) names.
        groups: (N,) lesion of each; every image its own where none is known.
        named: rows of pairs whose place in the ranking is asked for; of one group or not.
    """
    # each feature on one scale: on HAM10000 more siblings are near then than by the plain cosine
    spread = features.std(axis=0, dtype=np.float64)
    unit = (features - features.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1)
    unit = unit.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    number = np.unique(groups, return_inverse=True)[1]
    wanted = np.array([float(unit[a] @ unit[b]) for a, b in named])
    limit = wanted + 1e-6  # rounding must not put a pair above itself
    above = np.zeros(len(named), dtype=np.int64)
    near: dict[int, int] = {}  # place in ``named`` -> the better rank of its two directions
    sibling_ranks: list[int] = []
    best: list[tuple[float, int, int]] = []
    others = 0
    for start in range(0, len(unit), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(unit)))
        similar = unit[rows] @ unit.T
        same = number[rows][:, None] == number
        foreign = np.where(same, -np.inf, similar)
        others += int((~same).sum())
        above += np.array([(foreign > value).sum() for value in limit], dtype=np.int64)
        for place, (a, b) in enumerate(named):
            for row in {a, b} & set(rows.tolist()):
                rank = int((foreign[row - start] > limit[place]).sum()) + 1
                near[place] = min(rank, near.get(place, rank))
        similar[np.arange(len(rows)), rows] = -np.inf  # no image is its own sibling
        sibling = np.where(same, similar, -np.inf).max(axis=1)
        has = np.isfinite(sibling)
        sibling_ranks += ((foreign[has] > sibling[has, None]).sum(axis=1) + 1).tolist()
        count = min(NEAREST, len(unit) - 1)
        columns = np.argpartition(-foreign, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(foreign, columns, axis=1)
        best += [
            (float(value), int(min(row, column)), int(max(row, column)))
            for row, line, scores in zip(rows, columns, values, strict=True)
            for column, value in zip(line, scores, strict=True)
            if np.isfinite(value)
        ]
    ordered: dict[tuple[int, int], float] = {}
    for value, a, b in sorted(best, key=lambda pair: (-pair[0], pair[1:])):
        ordered.setdefault((a, b), value)
    ranks = np.array(sibling_ranks)
    repeated = np.bincount(number)
    return LesionRanking(
        candidates=tuple((ids[a], ids[b], round(value, 4)) for (a, b), value in list(ordered.items())[:MOST]),
        pairs=others // 2,
        lesions=int((repeated > 1).sum()),
        images=len(ranks),
        within={k: float((ranks <= k).mean()) for k in WITHIN} if len(ranks) else {},
        median_rank=float(np.median(ranks)) if len(ranks) else None,
        named=tuple(
            NamedPair(ids[a], ids[b], round(float(wanted[i]), 4), near[i], int(above[i]) // 2 + 1)
            for i, (a, b) in enumerate(named)
        ),
    )
