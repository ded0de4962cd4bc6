"""Features of every image of a set, to be searched, drawn or used by another program."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dermssl.data.cache import Cache
from dermssl.data.columns import by_columns
from dermssl.data.prepare import evaluated
from dermssl.data.read import renamed_cache
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import EmbedOptions
from dermssl.evaluation.embeddings import Embeddings, refuse_suffix
from dermssl.evaluation.features import said_of_resizing
from dermssl.evaluation.knn import BANK_CHUNK, QUERY_CHUNK, nearest
from dermssl.evaluation.setup import Setup
from dermssl.files import refuse_unwritable
from dermssl.options import takes
from dermssl.progress import progress_bar


@takes(EmbedOptions)
def embed(weights: str | Path | nn.Module, data: Any, options: EmbedOptions) -> Embeddings:
    """The pooled features of a frozen backbone for every image, labelled or not.

    Args:
        weights: as in ``evaluate_knn``.
        data: images, as everywhere.
        options: the fields of `EmbedOptions`, by keyword.

    Returns:
        names, labels, groups, features and, with ``neighbours``, each image's nearest others by cosine.

    Raises:
        DermsslError: an option is out of range, nothing can be read, or a feature is not finite in ``dtype``.
    """
    if options.output is not None:
        refuse_suffix(Path(options.output))
        refuse_unwritable(options.output, "--output")
    setup = Setup.by(weights, options)
    named = by_columns(data, options.label, options.group)
    cache = (
        renamed_cache(data, named)
        if isinstance(data, Cache)
        else evaluated(
            named,
            image_size=setup.image_size,
            fit=setup.fit,
            progress=options.progress,
        )
    )
    records, count = cache.records, len(cache.records)
    if options.neighbours is not None and options.neighbours >= count:
        raise DermsslError(f"--neighbours {options.neighbours}: {count:,} images have at most {count - 1} others")
    features = setup.features(cache.images)
    neighbours, cosines = None, None
    if options.neighbours is not None:
        neighbours, cosines = nearest_others(
            torch.from_numpy(features), options.neighbours, device=setup.device, progress=options.progress
        )
    names = np.array([*records.classes, ""])
    result = Embeddings(
        ids=np.array(records.ids, dtype=str),
        labels=names[records.labels],
        groups=np.array(records.groups or [""] * count, dtype=str),
        split=np.array(records.attributes.get("split") or [""] * count, dtype=str),
        features=_as(options.dtype, features),
        neighbours=neighbours,
        cosines=cosines,
        protocol={
            "weights": setup.name,
            "data": str(records.source),
            "content_hash": cache.content_hash,
            "image_size": setup.image_size,
            "cache_size": cache.size,
            "fit": cache.fit,
            "resize": said_of_resizing(cache, setup.image_size),
            "precision": str(setup.dtype).removeprefix("torch."),
            "dtype": options.dtype,
        },
    )
    if options.output is not None:
        result.save(options.output)
    return result


def nearest_others(
    features: torch.Tensor, k: int, *, device: torch.device, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` nearest other images of each by cosine similarity, exact.

    Args:
        features: (N, D) float32.
        k: at most N - 1.
        device: where to compute.
        progress: show a bar on standard error.

    Returns:
        (N, k) int64 rows and (N, k) float32 similarities, both from the nearest on.
    """
    rows = np.empty((len(features), k), dtype=np.int64)
    cosines = np.empty((len(features), k), dtype=np.float32)
    with progress_bar(len(features), "Neighbours", "images", shown=progress) as shown:
        for start in range(0, len(features), QUERY_CHUNK):
            queries = F.normalize(features[start : start + QUERY_CHUNK].to(device), dim=1)
            similarity, found = nearest(features, queries, k + 1, BANK_CHUNK)
            own = torch.arange(start, start + len(queries), device=device)[:, None]
            # Last, whatever it is: among many copies of an image its own row may not be of the k + 1.
            similarity = torch.where(found == own, -torch.inf, similarity)
            order = similarity.argsort(dim=1, descending=True, stable=True)[:, :k]
            rows[start : start + len(queries)] = found.gather(1, order).cpu().numpy()
            cosines[start : start + len(queries)] = similarity.gather(1, order).clamp(-1, 1).cpu().numpy()
            shown.update(len(queries))
    return rows, cosines


def _as(dtype: str, features: np.ndarray) -> np.ndarray:
    if dtype == "float32":
        return features
    with np.errstate(over="ignore"):
        halves = features.astype(np.float16)
    if not np.isfinite(halves).all():
        raise DermsslError(f"--dtype float16: a feature is {np.abs(features).max():g}, more than 65,504; use float32")
    return halves
