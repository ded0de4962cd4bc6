"""Images that are in a data set twice, or in two data sets: what a test must not have seen in training."""

import io
import json
import logging
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl.csv_rows import write_rows
from dermssl.data.cache import Cache
from dermssl.data.columns import by_columns
from dermssl.data.groups import read_pairs
from dermssl.data.joining import known_groups, known_pairs, spelled
from dermssl.data.prepare import cached, evaluated
from dermssl.data.read import path_of
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import LeakageOptions
from dermssl.evaluation.knn import nearest
from dermssl.evaluation.leakage.align import likeness
from dermssl.evaluation.leakage.exact import exact_pairs
from dermssl.evaluation.leakage.lesions import LesionRanking, rank_lesions
from dermssl.evaluation.leakage.pictures import Pictures
from dermssl.evaluation.leakage.split import SplitGap, split_gap
from dermssl.evaluation.leakage.views import AGREEMENT, BITS, TURN_NAMES, best_of_each_pair, best_views, candidates
from dermssl.evaluation.setup import Setup
from dermssl.files import write_text
from dermssl.options import takes
from dermssl.privacy import handed_on, spoken, told_apart
from dermssl.tables import markdown_table

LOGGER = logging.getLogger("dermssl")

SIZE = 96  # edge in pixels at which images are compared
NEIGHBOURS = 5  # by embedding, of each image


@dataclass(frozen=True)
class Pair:
    """Two files that show the same photograph.

    Attributes:
        first, second: the names that the data sets give the images; of the first and the second set, if there are two.
        kind: "exact": the same bytes; "near": the same picture.
        likeness: correlation of the detail once one is laid over the other; 1 for the same bytes.
        found_by: "bytes", "hash" or "embedding".
        turn: what the turned one of the two looks like beside the other.
        label, other_label: their classes; "" = unknown.
        same_group: whether they are known to show one lesion; None where the lesion of one is not known.
    """

    first: str
    second: str
    kind: str
    likeness: float
    found_by: str
    turn: str
    label: str
    other_label: str
    same_group: bool | None
    rows: tuple[int, int] = field(repr=False)  # in the caches


@dataclass(frozen=True)
class Leakage:
    """The result of `leakage`: what was found in one data set, or between two.

    Attributes:
        data, images: name and number of images of each data set.
        pairs: exact ones first, then by likeness.
        shared_names: images whose name occurs in both sets.
        shared_groups: lesions or patients whose name occurs in both sets.
        settings: every parameter that affects the result.
        seconds: how long it took.
        split: with weights and repeated lesions, how much plain folds overstate KNN.
        lesions: with weights, the pairs of different lesions of one data set, ranked by their features.
    """

    data: tuple[str, ...]
    images: tuple[int, ...]
    pairs: tuple[Pair, ...]
    shared_names: int
    shared_groups: int
    settings: dict[str, Any]
    seconds: float
    split: SplitGap | None = None
    lesions: LesionRanking | None = None
    caches: tuple[Cache, ...] = field(default=(), repr=False, compare=False)

    @property
    def across_groups(self) -> tuple[Pair, ...]:
        """The pairs that folds grouped by lesion would not keep together."""
        return tuple(pair for pair in self.pairs if not pair.same_group)

    def to_json(self) -> str:
        """One JSON object: ``data``, ``images``, ``counts``, ``pairs``, ``split`` and what it was found with."""
        return json.dumps(
            {
                "data": told_apart(self.data),
                "images": self.images,
                "counts": self.counts(),
                "settings": handed_on(self.settings),
                "seconds": round(self.seconds, 1),
                "split": None if self.split is None else asdict(self.split) | {"weights": spoken(self.split.weights)},
                "lesions": None if self.lesions is None else asdict(self.lesions),
                "pairs": [_without_rows(pair) for pair in self.pairs],
            },
            indent=1,
        )

    def counts(self) -> dict[str, int]:
        """How many pairs of each kind there are."""
        return {
            "pairs": len(self.pairs),
            "exact": sum(pair.kind == "exact" for pair in self.pairs),
            "near": sum(pair.kind == "near" for pair in self.pairs),
            "across_groups": len(self.across_groups),
            "different_labels": sum(
                "" not in (p.label, p.other_label) and p.label != p.other_label for p in self.pairs
            ),
            "shared_names": self.shared_names,
            "shared_groups": self.shared_groups,
        }

    def to_markdown(self, most: int = 20) -> str:
        """The counts, the first ``most`` pairs and the gap between the splits."""
        sets = zip(told_apart(self.data), self.images, strict=True)
        where = " and ".join(f"{name} ({count:,} images)" for name, count in sets)
        counts = self.counts()
        lines = [
            f"## leakage: {where}",
            "",
            f"{counts['pairs']} pairs of images show the same photograph: {counts['exact']} with identical files, "
            f"{counts['near']} nearly identical. {counts['across_groups']} are not known to show one lesion; "
            f"{counts['different_labels']} have different labels.",
        ]
        if len(self.data) == 2:
            lines.append(f"{self.shared_names} image names and {self.shared_groups} lesion names occur in both sets.")
        if self.pairs:
            rows = [
                [p.first, p.second, p.kind, f"{p.likeness:.2f}", p.turn, _yes(p.same_group)] for p in self.pairs[:most]
            ]
            lines += ["", markdown_table(["image", "image", "kind", "likeness", "turn", "same lesion"], rows)]
        if len(self.pairs) > most:
            lines += ["", f"... and {len(self.pairs) - most} more"]
        if self.split is not None:
            lines += ["", self.split.to_markdown()]
        if self.lesions is not None:
            lines += ["", self.lesions.to_markdown()]
        return "\n".join(lines)

    def save(self, folder: str | Path) -> Path:
        """Write ``leakage.json``, ``pairs.csv`` and, with weights, ``candidates.csv``; returns the JSON file."""
        folder = Path(folder)
        columns = [name for name in Pair.__dataclass_fields__ if name != "rows"]
        _write(folder / "pairs.csv", [columns, *(list(_without_rows(pair).values()) for pair in self.pairs)])
        if self.lesions is not None:
            _write(folder / "candidates.csv", [("first", "second", "similarity"), *self.lesions.candidates])
        write_text(folder / "leakage.json", self.to_json() + "\n")
        return folder / "leakage.json"


@takes(LeakageOptions)  # type: ignore[arg-type]  # the second one need not be given
def leakage(data: str | Path, other: str | Path | None = None, *, options: LeakageOptions) -> Leakage:
    """Find the same photograph twice: inside one data set, or in two.

    Files are compared by their bytes; then by perceptual hashes over the eight turns and mirrors and over crops of up
    to 10 % of the sides; pairs that agree are laid over one another and their detail is correlated.

    Args:
        data: images in any layout.
        other: other images; only pairs between the two sets are reported then.
        options: the fields of `LeakageOptions`, by keyword. With weights, copies that were changed too much for the
            hash are found by their features; and for one set with labels and repeated lesions, KNN is evaluated in
            plain and in grouped folds, which says how much the plain ones overstate.

    Raises:
        DermsslError: the data cannot be read, is the same twice, or an option is out of range.
    """
    started = time.monotonic()
    threshold, progress = options.threshold, options.progress
    setup = None if options.weights is None else Setup.by(options.weights, options)
    fit = setup.fit if setup is not None else options.fit or "squash"
    first, second = path_of(data), path_of(other)
    if other is not None and (data is other or (first and second and first.resolve() == second.resolve())):
        raise DermsslError(f"{data} is named twice; name it once to look for duplicates inside it")
    sources = [by_columns(data, options.label, options.group), *([] if other is None else [other])]
    caches = tuple(cached(source, size=SIZE, fit=fit, progress=progress) for source in sources)
    pictures = Pictures([cache.images for cache in caches], SIZE)
    exact = exact_pairs([cache.hashes for cache in caches])
    split_at = None if other is None else len(caches[0].images)
    ids, named = caches[0].records.ids, []
    if options.join is not None:  # looked at before the work
        if setup is None or other is not None:
            raise DermsslError("--join needs --weights and one DATA, to rank its pairs")
        named = read_pairs(options.join, ids)[0]
    elif setup is not None and other is None:
        named = known_pairs(ids)
    features = (
        [] if setup is None else [_features(setup, *pair, progress) for pair in zip(sources, caches, strict=True)]
    )
    found, by_embedding = _similar_pairs(pictures, split_at, features)
    LOGGER.info("%d pairs to compare in detail", len(found))
    scores, _ = likeness(pictures, found)
    near: dict[tuple[int, int], tuple[float, str, str]] = {}
    for (first, second, view, _), score, embedded in zip(
        found.tolist(), scores.tolist(), by_embedding.tolist(), strict=True
    ):
        pair = (min(first, second), max(first, second))
        if score >= max(threshold, near.get(pair, (0.0,))[0]) and pair not in exact:
            near[pair] = (score, "embedding" if embedded else "hash", TURN_NAMES[view % 8])
    lesions = [known_groups(cache.records) for cache in caches]
    pairs = [_pair(caches, lesions, rows, "exact", 1.0, "bytes", TURN_NAMES[0]) for rows in sorted(exact)]
    pairs += [
        _pair(caches, lesions, rows, "near", *what) for rows, what in sorted(near.items(), key=lambda item: -item[1][0])
    ]
    gap = None
    if setup is not None and other is None and len(set(caches[0].records.labels.tolist()) - {-1}) > 1:
        gap = split_gap(setup, data, same=[pair.rows for pair in pairs], seed=options.seed)
    ranking = None
    if features and other is None and len(ids) > 1:
        groups = np.array(caches[0].records.groups or ids)
        ranking = rank_lesions(features[0], ids, groups, named)
    settings = {
        "size": SIZE,
        "fit": " and ".join(dict.fromkeys(cache.fit for cache in caches)),  # a prepared cache has its own
        "hash_bits": BITS,
        "hash_agreement": AGREEMENT,
        "threshold": threshold,
        "weights": None if setup is None else setup.name,
        "compared_in_detail": len(found),
    }
    return Leakage(
        data=tuple(cache.records.source.as_posix() for cache in caches),
        images=tuple(len(cache.images) for cache in caches),
        pairs=tuple(pairs),
        shared_names=_shared([cache.records.ids for cache in caches]),
        shared_groups=_shared([[spelled(name) for name in names if name] for names in lesions]),
        settings=settings,
        seconds=time.monotonic() - started,
        split=gap,
        lesions=ranking,
        caches=caches,
    )


def _features(setup: Setup, source: Any, compared: Cache, progress: bool) -> np.ndarray:
    """(N, D) of the images that are compared, as every other evaluation has them."""
    seen = evaluated(source, image_size=setup.image_size, fit=setup.fit, progress=progress)
    if seen.hashes != compared.hashes:
        raise DermsslError(f"{compared.records.source}: its images have changed while they were read; start again")
    return setup.features(seen.images)


def _similar_pairs(
    pictures: Pictures,
    split_at: int | None,
    features: list[np.ndarray],
) -> tuple[Tensor, Tensor]:
    """(P, 4) pairs worth a comparison, as of `views.candidates`; (P,) found by the embedding only?"""
    rows = pictures.with_content()
    if split_at is None:
        hashed = best_of_each_pair(candidates(pictures, rows, rows))
    else:
        first, second = rows[rows < split_at], rows[rows >= split_at]
        both = [candidates(pictures, first, second), candidates(pictures, second, first)]
        hashed = best_of_each_pair(torch.cat(both))
    if not features:
        return hashed, torch.zeros(len(hashed), dtype=torch.bool)
    known = {(min(pair), max(pair)) for pair in hashed[:, :2].tolist()}
    neighbours = _embedding_neighbours(features, rows, split_at)
    extra = torch.tensor([pair for pair in neighbours if pair not in known], dtype=torch.long).reshape(-1, 2)
    # either may be the crop of the other
    viewed = best_of_each_pair(torch.cat([best_views(pictures, extra), best_views(pictures, extra.flip(1))]))
    by_embedding = torch.cat([torch.zeros(len(hashed)), torch.ones(len(viewed))]).bool()
    return torch.cat([hashed, viewed]), by_embedding


def _embedding_neighbours(features: list[np.ndarray], rows: Tensor, split_at: int | None) -> list[tuple[int, int]]:
    """Unordered pairs of each picture and its nearest ones by cosine, in the same set or in the other."""
    every = torch.from_numpy(np.concatenate(features))
    queries, bank = (rows, rows) if split_at is None else (rows[rows >= split_at], rows[rows < split_at])
    count = min(NEIGHBOURS + (split_at is None), len(bank))
    pairs = set()
    for part in queries.split(1024):
        index = nearest(every[bank], F.normalize(every[part], dim=1), count, 16384)[1]
        for query, near in zip(part.tolist(), bank[index].tolist(), strict=True):
            pairs |= {(min(query, other), max(query, other)) for other in near if other != query}
    return sorted(pairs)


def _pair(
    caches: tuple[Cache, ...],
    lesions: list[list[str | None]],
    rows: tuple[int, int],
    kind: str,
    score: float,
    found_by: str,
    turn: str,
) -> Pair:
    start = len(caches[0].images)
    within = rows if len(caches) == 1 else (rows[0], rows[1] - start)
    records = [caches[0].records, caches[-1].records]
    labels = [r.classes[r.labels[i]] if r.labels[i] >= 0 else "" for r, i in zip(records, within, strict=True)]
    groups = [names[i] for names, i in zip((lesions[0], lesions[-1]), within, strict=True)]
    return Pair(
        first=records[0].ids[within[0]],
        second=records[1].ids[within[1]],
        kind=kind,
        likeness=round(score, 4),
        found_by=found_by,
        turn=turn,
        label=labels[0],
        other_label=labels[1],
        same_group=None if None in groups else groups[0] == groups[1],
        rows=(int(within[0]), int(within[1])),
    )


def _shared(names: Sequence[Collection[str]]) -> int:
    return len(set(names[0]) & set(names[1])) if len(names) == 2 else 0


def _without_rows(pair: Pair) -> dict[str, Any]:
    return {name: value for name, value in asdict(pair).items() if name != "rows"}


def _write(path: Path, rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    write_rows(text, rows)
    write_text(path, text.getvalue())


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
