"""Features in the plane (t-SNE), and how pure their neighbourhoods are: do images of a class lie together?"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from dermssl.csv_rows import write_rows
from dermssl.data.cache import Cache
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import ProjectOptions
from dermssl.evaluation.setup import Setup
from dermssl.options import takes
from dermssl.privacy import handed_on, spoken
from dermssl.tables import markdown_table, percent

CHUNK = 1024


@dataclass(frozen=True)
class Projection:
    """The result of `project`.

    Attributes:
        points: (N, 2) float32 in the plane.
        labels: (N,) index into ``classes``.
        ids, groups: (N,) name and lesion (or patient) of each image.
        purity: (N,) share of the k nearest neighbours among the features that are of the image's class.
        chance: (N,) the same share over all images that could be neighbours.
        plane_purity: (N,) as ``purity``, with neighbours in the plane: how much of it the picture shows.
        protocol: every parameter that affects the points or the figures.
    """

    weights: str
    data: str
    points: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    ids: np.ndarray
    groups: np.ndarray
    purity: np.ndarray
    chance: np.ndarray
    plane_purity: np.ndarray
    protocol: dict[str, Any]

    @property
    def per_class(self) -> dict[str, dict[str, float]]:
        """Class name -> images, and the means of purity, chance and plane purity over them, as fractions of 1."""
        return {name: self._means(self.labels == number) for number, name in enumerate(self.classes)}

    @property
    def overall(self) -> dict[str, float]:
        """The same over all images."""
        return self._means(np.ones(len(self.labels), dtype=bool))

    @property
    def class_mean(self) -> dict[str, float]:
        """The same as the mean of the classes, each counting alike."""
        rows = list(self.per_class.values())
        return {key: float(np.mean([row[key] for row in rows])) for key in ("purity", "chance", "plane_purity")}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of the purity table, in per cent."""
        header = ["%", "images", "purity", "by chance", "purity in the plane"]
        rows = [("all images", self.overall), ("mean of classes", self.class_mean), *self.per_class.items()]
        keys = ("purity", "chance", "plane_purity")
        return header, [
            [name, f"{row['images']:,}" if "images" in row else "", *(percent(row[key]) for key in keys)]
            for name, row in rows
        ]

    def to_markdown(self) -> str:
        """The purity table."""
        about = (
            f"Share of the {self.protocol['k']} nearest neighbours that are of the same class; images of the same "
            "lesion do not count as neighbours."
        )
        return f"## {spoken(self.weights)} on {spoken(self.data)}\n\n{markdown_table(*self.table())}\n\n{about}"

    def to_dict(self) -> dict[str, Any]:
        """The figures, without the points; what ``--json`` prints."""
        return {
            "weights": spoken(self.weights),
            "data": spoken(self.data),
            "protocol": handed_on(self.protocol),
            "purity": {**self.overall, "class_mean": self.class_mean, "per_class": self.per_class},
        }

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def to_csv(self) -> str:
        """The points, one line for each image: image, group, label, x, y, purity."""
        text = io.StringIO()
        rows = [["image", "group", "label", "x", "y", "purity"]]
        for i, (x, y) in enumerate(self.points):
            label = self.classes[self.labels[i]]
            rows.append([self.ids[i], self.groups[i], label, f"{x:.4f}", f"{y:.4f}", f"{self.purity[i]:.4f}"])
        write_rows(text, rows)
        return text.getvalue()

    def _means(self, chosen: np.ndarray) -> dict[str, float]:
        return {
            "images": int(chosen.sum()),
            "purity": float(self.purity[chosen].mean()),
            "chance": float(self.chance[chosen].mean()),
            "plane_purity": float(self.plane_purity[chosen].mean()),
        }


@takes(ProjectOptions)
def project(weights: str | Path | nn.Module, data: str | Path | Cache, options: ProjectOptions) -> Projection:
    """Lay the frozen features of labelled images out in the plane by t-SNE, as the paper's Figure 4.

    Distances are those of the KNN evaluation (cosine). The points move with the seed and the perplexity; the
    purity among the features does not, so compare backbones by that.

    Args:
        weights: as in ``evaluate_knn``.
        data: labelled images.
        options: the fields of `ProjectOptions`, by keyword.

    Raises:
        DermsslError: an option is out of range, the data holds no labels, or the features are all the same.
    """
    limit, perplexity, k, seed = options.limit, options.perplexity, options.k, options.seed
    setup = Setup.by(weights, options)
    images = setup.open(data)
    chosen = np.arange(len(images))
    if limit is not None and limit < len(images):
        chosen = np.sort(np.random.default_rng(seed).choice(len(images), limit, replace=False))
    if not 0 < perplexity < len(chosen):
        raise DermsslError(
            f"--perplexity {perplexity:g}: must be above 0 and below the number of images ({len(chosen)})"
        )
    used, labels = np.unique(images.labels[chosen], return_inverse=True)
    groups = images.groups[chosen]
    chance = same_class_share(labels, groups)
    candidates = len(chosen) - np.unique(groups, return_counts=True)[1].max()
    if not 1 <= k <= candidates:
        raise DermsslError(f"--k {k}: must be at least 1 and at most {candidates}, the images of other lesions")
    features = setup.features(images.images, images.rows[chosen])
    points = tsne(features, perplexity=perplexity, seed=seed)
    return Projection(
        weights=setup.name,
        data=images.source,
        points=points,
        labels=labels,
        classes=tuple(images.classes[c] for c in used),
        ids=images.ids[chosen],
        groups=groups,
        purity=neighbour_purity(unit_length(features), labels, groups, k=k),
        chance=chance,
        plane_purity=neighbour_purity(points, labels, groups, k=k),
        protocol={
            "images": len(chosen),
            "of_images": len(images),
            "k": k,
            "metric": "cosine",
            "perplexity": perplexity,
            "seed": seed,
            **setup.about(images),
            "feature_width": features.shape[1],
            "content_hash": images.about["content_hash"],
        },
    )


def unit_length(features: np.ndarray) -> np.ndarray:
    """(N, D) with rows of length 1: their Euclidean distances order neighbours as the cosine does."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def tsne(features: np.ndarray, *, perplexity: float, seed: int) -> np.ndarray:
    """(N, 2) float32 points of the features (N, D) by scikit-learn's t-SNE on cosine neighbours.

    Raises:
        DermsslError: all features are the same.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    unit = unit_length(features)
    if np.ptp(unit, axis=0).max() < 1e-6:
        raise DermsslError("all images have the same features: the weights are broken (collapsed training?)")
    # One thread: sums over threads come in no fixed order, and t-SNE turns the last digit into another picture.
    # It also waits actively for a core that another process uses: 15 s instead of 60 for 1,500 points on two busy ones.
    with threadpool_limits(1):
        points = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed).fit_transform(unit)
    return np.asarray(points, dtype=np.float32)


def neighbour_purity(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, k: int) -> np.ndarray:
    """Of each vector's k nearest, the share with its label. Members of its own group do not count: two photographs
    of a lesion look alike whatever the network has learned.

    Args:
        vectors: (N, D) float, compared by Euclidean distance.
        labels: (N,) int.
        groups: (N,) lesion of each; every group leaves at least k others.

    Returns:
        (N,) float64 in [0, 1].
    """
    number = np.unique(groups, return_inverse=True)[1]
    vectors = vectors.astype(np.float64)
    squares = (vectors**2).sum(axis=1)
    purity = np.empty(len(vectors))
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        distance = squares - 2 * vectors[part] @ vectors.T  # less the chunk's own squares, which move no order
        distance[number[part, None] == number] = np.inf
        nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
        purity[part] = (labels[nearest] == labels[part, None]).mean(axis=1)
    return purity


def same_class_share(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(N,): the share of each image's class among the images of other groups; NaN if there are none."""
    number = np.unique(groups, return_inverse=True)[1]
    members = np.zeros((number.max() + 1, labels.max() + 1))
    np.add.at(members, (number, labels), 1)
    others = len(labels) - members.sum(axis=1)[number]
    same = members.sum(axis=0)[labels] - members[number, labels]
    return np.divide(same, others, out=np.full(len(labels), np.nan), where=others > 0)
