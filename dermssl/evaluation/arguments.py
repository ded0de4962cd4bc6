"""The options of the evaluations: of the Python calls and of their commands alike.

A new option of ``finetune`` is one field of ``FinetuneOptions``, read where it acts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermssl.data.arguments import ColumnOptions, PrepareOptions
from dermssl.errors import DermsslError
from dermssl.evaluation.recipes import RECIPES
from dermssl.options import (
    DEVICE,
    FITS,
    LARGEST_EDGE,
    LARGEST_SEED,
    MOST_EPOCHS,
    PRECISIONS,
    SPLITS,
    Fit,
    Options,
    option,
    said_of,
)

if TYPE_CHECKING:
    import torch

    from dermssl.data.cache import Cache

    Data = str | Path | Cache
    Device = str | torch.device
else:  # the command line gives text; the Python call takes the objects, too
    Data = Device = Any

MAPS = ("gradcam", "cam")
WEIGHTINGS = ("uniform", "distance")
DTYPES = ("float32", "float16")
FRACTIONS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1)
# Correlation of the detail from which two images count as one photograph: docs/measurements/leakage.md has both errors.
THRESHOLD = 0.57

OWN_SIZE = "that of the weights"
LEAST_EDGE = said_of(PrepareOptions)["size"].least  # no image is decoded to fewer pixels


def refuse_two_tests(split: str, test: object) -> None:
    """Raises DermsslError if both the data's own test part and another set are to be tested."""
    if split == "given" and test is not None:
        raise DermsslError("--split given takes the test part of DATA: leave out --test, or --split")


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(Options):
    """Of everything that looks at images through a backbone."""

    image_size: int | None = option(
        None,
        "Edge of the images that the network sees, in pixels.",
        least=LEAST_EDGE,
        most=LARGEST_EDGE,
        unset=OWN_SIZE,
    )
    seed: int = option(0, "Seed of folds, draws, training and the weights of random:NAME.", least=0, most=LARGEST_SEED)
    device: Device = option("auto", "Where to compute: auto, cpu, cuda or cuda:N.", pattern=DEVICE)


@dataclass(frozen=True, kw_only=True)
class FramedOptions(FeatureOptions, ColumnOptions):
    """Of everything that looks at the images of a data set as the weights were trained to."""

    fit: Fit | None = option(None, "How an image is made square.", choices=FITS, unset="as the weights were trained")
    progress: bool = option(False, "Show progress on standard error.", command=False)


@dataclass(frozen=True, kw_only=True)
class FoldOptions(FramedOptions):
    """Of every evaluation in folds."""

    test: Data | None = option(
        None, "Test on these images, and train on all of DATA.", metavar="DATA", unset="folds of DATA"
    )
    folds: int = option(5, "Number of cross-validation folds.", least=2)
    split: str = option(
        "lesion",
        "Keep the images of a lesion in one fold, split plainly as the paper does, or take the data's own train and "
        "test parts (its val part only chooses the strength of a frozen head).",
        choices=SPLITS,
    )
    join: str | Path | None = option(
        None,
        "Table whose first two columns name pairs of images of one lesion, such as leakage writes.",
        metavar="CSV",
        unset="no pairs",
    )
    by: str | Sequence[str] | None = option(
        None,
        "Columns of DATA by whose values results are reported too, such as sex,age.",
        metavar="COLUMN,...",
        unset="no subgroups",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_two_tests(self.split, self.test)


@dataclass(frozen=True, kw_only=True)
class KnnOptions(FoldOptions):
    """Of ``evaluate_knn``."""

    k: int = option(100, "Number of neighbours that vote.", least=1)
    weighting: str = option(
        "uniform", "Weight of a neighbour's vote: 1, or 1 / its cosine distance.", choices=WEIGHTINGS
    )
    precision: str = option(
        "fp32",
        "Precision of the features; float32 gives the same figures on every machine.",
        choices=PRECISIONS,
    )
    batch_size: int = option(256, "Images per forward pass; does not affect the figures.", least=1, most=2**20)
    predictions: str | Path | None = option(None, "Write the prediction for each image to this file.", metavar="CSV")


@dataclass(frozen=True, kw_only=True)
class TransferOptions(FoldOptions):
    """Of every evaluation that trains a classifier."""

    freeze: bool = option(False, "Train a linear classifier on the backbone's frozen features.")
    recipe: str = option("default", "How to train; paper: SGD, batch 64, learning rate 0.001.", choices=tuple(RECIPES))
    epochs: int | None = option(
        None, "Number of passes over the training images.", least=1, most=MOST_EPOCHS, unset="the recipe's"
    )
    precision: str = option(
        "auto",
        "Precision of the computation; auto: bf16 where the hardware multiplies in it, float32 for frozen features.",
        choices=PRECISIONS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None and self.freeze and RECIPES[self.recipe].head == "logistic":
            raise DermsslError(
                f"--epochs {self.epochs}: the frozen head of --recipe {self.recipe} is a logistic regression, fitted "
                "to its optimum; leave the option out or use --recipe paper"
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TransferOptions):
    """Of ``finetune``."""

    fraction: float = option(
        1.0,
        "Share of the training labels to use, drawn by lesion; smaller shares are subsets of larger ones.",
        above=0,
        most=1,
    )
    predictions: str | Path | None = option(None, "Write the prediction for each image to this file.", metavar="CSV")
    output: str | Path | None = option(
        None,
        "Save the fitted model in this folder, for timm, with its class names; with folds it is one more model, "
        "trained on all of DATA.",
        metavar="DIR",
    )


@dataclass(frozen=True, kw_only=True)
class FewshotOptions(TransferOptions):
    """Of ``fewshot``."""

    fractions: Sequence[float] = option(FRACTIONS, "Shares of the training labels.", metavar="A,B,...")
    output: str | Path | None = option(
        None, "Write tables, figure and reports into this folder, new or empty.", metavar="DIR"
    )


@dataclass(frozen=True, kw_only=True)
class CamOptions(FeatureOptions, ColumnOptions):
    """Of ``class_activation``."""

    # several images at a time, with their gradients: a larger edge would take the memory of most machines
    image_size: int | None = option(
        None, "Edge of the images that the network sees, in pixels.", least=LEAST_EDGE, most=1024, unset=OWN_SIZE
    )
    limit: int = option(
        8, "At most this many images; labelled ones are taken from each class in turn.", least=1, most=10_000
    )
    method: str = option("gradcam", "Grad-CAM, or CAM as in the paper.", choices=MAPS)
    target: str | None = option(
        None, "Class to look for.", metavar="NAME", spelled="class", unset="the predicted class"
    )


@dataclass(frozen=True, kw_only=True)
class ProjectOptions(FramedOptions):
    """Of ``project``."""

    limit: int | None = option(
        None, "Use only this many images, drawn at random.", least=3, unset="all; 10,000 take minutes"
    )
    perplexity: float = option(
        30.0, "Perplexity of t-SNE: roughly, how many neighbours it keeps an image close to.", above=0
    )
    k: int = option(10, "Number of neighbours among which purity is measured.", least=1)
    precision: str = option("fp32", "Precision of the features.", choices=PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class EmbedOptions(FramedOptions):
    """Of ``embed``."""

    output: str | Path | None = option(
        None, "Write the features to this file: .npz, .parquet or .csv.", metavar="FILE", unset="no file", needed=True
    )
    dtype: str = option("float32", "Type of the features.", choices=DTYPES)
    neighbours: int | None = option(
        None, "Also find this many nearest neighbours of each image, by cosine.", least=1, most=10_000, unset="none"
    )
    precision: str = option("fp32", "Precision of the computation.", choices=PRECISIONS)
    batch_size: int = option(256, "Images per forward pass; does not affect the figures.", least=1, most=2**20)


@dataclass(frozen=True, kw_only=True)
class LeakageOptions(FramedOptions):
    """Of ``leakage``."""

    weights: Any = option(
        None,
        "Also compare nearest neighbours under these weights, and KNN in plain and in grouped folds.",
        metavar="WEIGHTS",
        unset="no weights",
    )
    join: str | Path | None = option(
        None,
        "Table whose first two columns name pairs of images of one lesion; says where --weights rank them.",
        metavar="CSV",
        unset="no pairs",
    )
    threshold: float = option(
        THRESHOLD, "Similarity at which two images start to count as one photograph.", above=0, most=1
    )
