"""How much do folds overstate the accuracy when they put photographs of one lesion on both sides?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dermssl.data.folds import cut_groups, make_folds
from dermssl.data.groups import joined
from dermssl.evaluation.intervals import interval
from dermssl.evaluation.knn import knn_probabilities
from dermssl.evaluation.setup import Setup
from dermssl.privacy import spoken
from dermssl.tables import markdown_table

NEIGHBOURS = (1, 10, 100)
FOLDS = 5
REPEATS = 3  # divisions into folds, each with a seed of its own
DRAWS = 1000


@dataclass(frozen=True)
class SplitGap:
    """KNN accuracy in plain folds and in folds that keep a group together; fractions of 1, one entry for each k.

    Attributes:
        grouped_by: "lesion", or "duplicates" where the data names no lesions.
        repeated_images: images whose group has another image.
        groups_cut: groups that the plain folds cut, mean over the divisions.
        plain, grouped: accuracy of all images.
        gap: plain minus grouped, and its 95 % interval (bootstrap over groups).
        plain_repeated, grouped_repeated: accuracy of the repeated images alone.
    """

    weights: str
    image_size: int
    images: int
    repeated_images: int
    grouped_by: str
    groups_cut: float
    folds: int
    divisions: int
    k: tuple[int, ...]
    plain: tuple[float, ...]
    grouped: tuple[float, ...]
    gap: tuple[float, ...]
    interval: tuple[tuple[float, float], ...]
    plain_repeated: tuple[float, ...]
    grouped_repeated: tuple[float, ...]

    def to_markdown(self) -> str:
        """What was compared, and a row for each k."""
        header, rows = self.table()
        about = (
            f"KNN of {spoken(self.weights)} at {self.image_size} px, {self.folds} folds, mean of {self.divisions} "
            f"divisions. {self.repeated_images} of {self.images} images are of a group with several images (grouped by "
            f"{self.grouped_by}); plain folds cut {self.groups_cut:.0f} groups."
        )
        return f"{about}\n\n{markdown_table(header, rows)}"

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows, in %."""
        header = ["k", "plain", "grouped", "overstated by", "95 % interval", "repeated, plain", "repeated, grouped"]
        rows = [
            [str(k), *(f"{100 * v:.2f}" for v in (plain, grouped, gap)), f"{100 * low:.2f} to {100 * high:.2f}",
             f"{100 * one:.2f}", f"{100 * other:.2f}"]
            for k, plain, grouped, gap, (low, high), one, other in zip(
                self.k, self.plain, self.grouped, self.gap, self.interval, self.plain_repeated, self.grouped_repeated,
                strict=True,
            )
        ]  # fmt: skip
        return header, rows


def split_gap(
    setup: Setup,
    data: str | Path,
    *,
    same: list[tuple[int, int]],
    seed: int = 0,
) -> SplitGap | None:
    """Evaluate KNN in plain and in grouped folds.

    Args:
        setup: the network.
        data: labelled images.
        same: pairs of rows of the data's cache that show the same photograph; they join the groups of both, and are
            the groups where the data names none.
        seed: of the folds.

    Returns:
        None if no group has two images.

    Raises:
        DermsslError: the data holds no labels, or one class.
    """
    images = setup.open(data)
    place = {int(row): i for i, row in enumerate(images.rows)}
    pairs = [(place[one], place[other]) for one, other in same if one in place and other in place]
    groups = np.unique(joined(images.groups.tolist(), pairs), return_inverse=True)[1]
    counts = np.bincount(groups)
    repeated = counts[groups] > 1
    if not repeated.any():
        return None
    features = setup.features(images.images, images.rows)
    labels = images.labels
    smallest = len(labels) - -(-len(labels) // FOLDS) - int(counts.max())
    ks = tuple(k for k in NEIGHBOURS if k <= smallest) or (1,)
    right = np.zeros((2, len(ks), REPEATS, len(labels)), dtype=bool)
    cut = []
    for repeat in range(REPEATS):
        for number, split in enumerate(("paper", "lesion")):
            fold = make_folds(labels, groups, folds=FOLDS, split=split, seed=seed + repeat)
            if split == "paper":
                cut.append(cut_groups(groups, fold))
            for position, k in enumerate(ks):
                answers = _answers(features, labels, fold, k, setup.device)
                right[number, position, repeat] = answers == labels
    share = right.mean(axis=2)  # (plain or grouped, k, image)
    intervals = tuple(_interval(share[0, i] - share[1, i], groups, seed) for i in range(len(ks)))
    plain, grouped = share.mean(axis=2).tolist()
    of_repeated = share[:, :, repeated].mean(axis=2).tolist()
    return SplitGap(
        weights=setup.name,
        image_size=setup.image_size,
        images=len(labels),
        repeated_images=int(repeated.sum()),
        grouped_by="lesion" if images.named else "duplicates",
        groups_cut=float(np.mean(cut)),
        folds=FOLDS,
        divisions=REPEATS,
        k=ks,
        plain=tuple(plain),
        grouped=tuple(grouped),
        gap=tuple(p - g for p, g in zip(plain, grouped, strict=True)),
        interval=intervals,
        plain_repeated=tuple(of_repeated[0]),
        grouped_repeated=tuple(of_repeated[1]),
    )


def _answers(features: np.ndarray, labels: np.ndarray, fold: np.ndarray, k: int, device: torch.device) -> np.ndarray:
    """(N,) the class that each image's neighbours in the other folds vote for."""
    answers = np.empty(len(labels), dtype=np.int64)
    rows, classes = torch.from_numpy(features), int(labels.max()) + 1
    for number in np.unique(fold):
        train, test = fold != number, fold == number
        votes = knn_probabilities(
            rows[torch.from_numpy(train)],
            torch.from_numpy(labels[train]),
            rows[torch.from_numpy(test)].to(device),
            k=k,
            classes=classes,
        )
        answers[test] = votes.argmax(dim=1).cpu().numpy()
    return answers


def _interval(difference: np.ndarray, groups: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the mean difference (N,), drawing groups."""
    total, size = np.bincount(groups, weights=difference), np.bincount(groups)
    drawn = np.random.default_rng(seed).integers(len(size), size=(DRAWS, len(size)))
    return interval(total[drawn].sum(axis=1) / size[drawn].sum(axis=1))
