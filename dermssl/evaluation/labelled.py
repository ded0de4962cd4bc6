"""The labelled images of a data set, and which of them belong together."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dermssl.backbones.facts import Framing
from dermssl.data.cache import Cache
from dermssl.data.groups import copies, joined
from dermssl.data.joining import known_pairs, said_of_pairs
from dermssl.data.prepare import evaluated
from dermssl.errors import DermsslError
from dermssl.evaluation.features import said_of_resizing

LOGGER = logging.getLogger("dermssl")


@dataclass(frozen=True)
class LabelledImages:
    """The labelled images of one data set."""

    source: str
    images: np.ndarray  # (P, S, S, 3) uint8 memory map, of labelled and unlabelled images
    rows: np.ndarray  # (N,) rows of ``images`` that carry a label
    labels: np.ndarray  # (N,) index into classes
    ids: np.ndarray  # (N,) str
    groups: np.ndarray  # (N,) str; the image's own name where the data names none
    named: bool  # whether the data names groups
    grouped: bool  # whether there are groups: named by the data, or made of copies and pairs
    hashes: np.ndarray  # (N,) str, sha256 of each image's file
    attributes: dict[str, np.ndarray]  # further columns of the data, name -> (N,) str
    classes: tuple[str, ...]
    about: dict[str, Any]  # what the report says of the data
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, chosen: np.ndarray) -> "LabelledImages":
        """The images at ``chosen`` (M,); the classes and ``about`` stay."""
        return replace(
            self,
            rows=self.rows[chosen],
            labels=self.labels[chosen],
            ids=self.ids[chosen],
            groups=self.groups[chosen],
            hashes=self.hashes[chosen],
            attributes={name: values[chosen] for name, values in self.attributes.items()},
        )

    def without_empty_classes(self) -> "LabelledImages":
        """Drops classes that no image carries, such as an all-zero column of a ground truth table."""
        used, labels = np.unique(self.labels, return_inverse=True)
        return replace(self, labels=labels, classes=tuple(self.classes[c] for c in used))


def open_labelled(
    data: str | Path | Cache, *, image_size: int, fit: Framing, option: str = "DATA", progress: bool = False
) -> LabelledImages:
    """The labelled images of a data set, decoded once into a cache as timm's own transform would show them.

    Images whose files hold the same bytes are in one group, whatever the data says, and so are the known pairs of
    HAM10000.

    Args:
        data: as everywhere, or an open cache.
        image_size: edge in pixels that the network sees.
        fit: how an image becomes square; a prepared cache has its own.
        option: how the error messages call it.

    Raises:
        DermsslError: no image carries a label.
    """
    cache = data if isinstance(data, Cache) else evaluated(data, image_size=image_size, fit=fit, progress=progress)
    records = cache.records
    rows = np.flatnonzero(records.labels >= 0)
    if not len(rows):
        raise DermsslError(
            f"{option} {records.source}: none of its {len(records)} images carries a label (layout: {records.layout}); "
            "an evaluation needs labelled images, e.g. a folder per class or a CSV with the columns image,label"
            + records.why_unlabelled()
        )
    unlabelled = len(records) - len(rows)
    if unlabelled:
        LOGGER.warning("%s %s: %d images without a label are left out", option, records.source, unlabelled)
    ids = np.array(records.ids, dtype=str)[rows]
    labels = np.asarray(records.labels)[rows]
    named = ids if records.groups is None else np.array(records.groups, dtype=str)[rows]
    hashes = np.array(cache.hashes, dtype=str)[rows]
    same = copies(hashes.tolist())
    by_copies = joined(named.tolist(), same)
    pairs = known_pairs(ids.tolist())
    groups = np.array(joined(by_copies, pairs), dtype=str)
    copied, known = len(np.unique(named)) - len(set(by_copies)), len(set(by_copies)) - len(np.unique(groups))
    said = (*records.joined, *([said_of_pairs(len(pairs), known)] if known else ()))
    notes = [*(f"{option}: {text}" for text in said), *_notes_on_copies(option, same, labels, copied)]
    if cache.fit != fit:
        notes.append(
            f"{option} was prepared with --fit {cache.fit}, where {fit} was asked for (by --fit or by the weights)"
        )
    counts = np.bincount(labels, minlength=len(records.classes))
    grouped = records.groups is not None or copied + known > 0
    about = {
        "source": str(records.source),
        "layout": records.layout,
        "images": len(rows),
        "unlabelled": unlabelled,
        "problems": len(cache.problems),
        "classes": dict(zip(records.classes, counts.tolist(), strict=True)),
        "groups": len(np.unique(groups)) if grouped else None,
        "copies": len(same),
        "groups_joined": copied + known,
        "content_hash": cache.content_hash,
        "cache_size": cache.size,
        "fit": cache.fit,
        "resize": said_of_resizing(cache, image_size),
    }
    return LabelledImages(
        source=str(records.source),
        images=cache.images,
        rows=rows,
        labels=labels,
        ids=ids,
        groups=groups,
        named=records.groups is not None,
        grouped=grouped,
        hashes=hashes,
        attributes={name: np.array(texts, dtype=str)[rows] for name, texts in records.attributes.items()},
        classes=tuple(records.classes),
        about=about,
        notes=tuple(notes),
    )


def _notes_on_copies(option: str, same: list[tuple[int, int]], labels: np.ndarray, merged: int) -> list[str]:
    if not same:
        return []
    differ = sum(labels[one] != labels[other] for one, other in same)
    other = f"; {differ} of them carry another label than the image they copy" if differ else ""
    return [
        f"{len(same)} images of {option} are byte-for-byte copies of others: copies count as one group, which joined "
        f"{merged} {'group' if merged == 1 else 'groups'} to others{other}"
    ]
