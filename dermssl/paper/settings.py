"""The budget and protocol of a reproduction: what must be the same for all its cells."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dermssl.errors import DermsslError
from dermssl.evaluation.recipes import RECIPES as FINETUNE_RECIPES
from dermssl.options import DEVICE, FOLD_SPLITS, LARGEST_EDGE, LARGEST_SEED, MOST_EPOCHS, PRECISIONS, Options, option
from dermssl.paper.numbers import FIGURES, ROWS, TABLES
from dermssl.pretraining.config import RECIPES


@dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Of one output folder. None leaves a value to ``resolve``, or to a recipe."""

    backbone: str = option("resnet18", "Any timm architecture.")
    recipe: str = option("default", "Recipe of the pretraining.", choices=tuple(RECIPES))
    epochs: int | None = option(
        None,
        "Number of passes over the images in each pretraining.",
        least=1,
        most=MOST_EPOCHS,
        unset="the recipe's, 200",
    )
    batch_size: int | None = option(
        None,
        "Images per step of the pretraining.",
        least=1,
        most=2**20,
        unset="512 on CUDA, 128 on the CPU, or all images if fewer",
    )
    image_size: int | None = option(
        None, "Edge of the images, in pixels, everywhere.", least=1, most=LARGEST_EDGE, unset="the backbone's own"
    )
    queue_size: int | None = option(
        None,
        "Number of keys kept as negatives.",
        least=1,
        most=2**24,
        unset="8192, or the largest power of two within the number of images",
    )
    limit: int | None = option(
        None, "Use only this many images of each data set, drawn at random.", least=2, unset="all"
    )
    eval_limit: int | None = option(None, "Use only this many labelled images.", least=2, unset="--limit")
    k: int | None = option(
        None, "Number of neighbours in KNN.", least=1, unset="the paper's 100, or a quarter of the images"
    )
    finetune_recipe: str = option(
        "default",
        "Recipe of the fine-tuning; paper: SGD, batch 64, learning rate 0.001.",
        choices=tuple(FINETUNE_RECIPES),
    )
    finetune_epochs: int | None = option(
        None,
        "Number of passes over the images in the fine-tuning.",
        least=1,
        most=MOST_EPOCHS,
        unset="the recipe's, or --epochs if that is fewer",
    )
    few_labels: str = option(
        "finetune", "How Figure 5 uses its labels; frozen is much cheaper.", choices=("finetune", "frozen")
    )
    folds: int = option(5, "Number of cross-validation folds.", least=2)
    split: str = option(
        "lesion",
        "Keep the images of a lesion in one fold, or split plainly as the paper does.",
        choices=FOLD_SPLITS,
    )
    imagenet: str | None = option(
        None,
        "Weights for the row imagenet.",
        metavar="WEIGHTS",
        unset="timm:resnet18.a1_in1k, or timm:BACKBONE",
    )
    precision: str = option(
        "auto",
        "Autocast precision; auto: bf16 where the hardware multiplies in it, fp16 on older GPUs.",
        choices=PRECISIONS,
    )
    seed: int = option(0, "Seed of weights, order, augmentation, folds and draws.", least=0, most=LARGEST_SEED)

    def pretraining(self) -> dict[str, Any]:
        """The options of ``dermssl.pretrain`` that every method gets; those not given are left to the recipe."""
        names = ("backbone", "recipe", "epochs", "batch_size", "image_size", "limit", "precision", "seed")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def imagenet_weights(self) -> str:
        """Where the supervised row's weights come from."""
        default = "resnet18.a1_in1k" if self.backbone == "resnet18" else self.backbone
        return self.imagenet or f"timm:{default}"


@dataclass(frozen=True, kw_only=True)
class Parts(Options):
    """Of one call: what is asked of the output folder, and where it is computed."""

    methods: Sequence[str] | None = option(None, f"Rows: {','.join(ROWS)}.", metavar="A,B,...", unset="all")
    tables: Sequence[int] | None = option(None, "Tables to make, of 1 to 5.", metavar="1,2,...", unset="all")
    figures: Sequence[int] | None = option(
        None, "Figures to make, of 4 to 6.", metavar="4,5,6", unset="all; none if --tables is given"
    )
    device: str = option("auto", "Where to compute: auto, cpu, cuda or cuda:N.", pattern=DEVICE)


@dataclass(frozen=True)
class Request:
    """What is asked for: rows, tables, figures."""

    methods: tuple[str, ...] = tuple(ROWS)
    tables: tuple[int, ...] = TABLES
    figures: tuple[int, ...] = FIGURES


def make_request(methods: Iterable[str] | None, tables: Iterable[int] | None, figures: Iterable[int] | None) -> Request:
    """Everything where nothing is named; tables named without figures, or figures without tables, mean only those.

    Raises:
        DermsslError: there is no such row, table or figure.
    """
    rows = _known("--methods", ROWS, methods, list(ROWS))
    if tables is None and figures is None:
        return Request(methods=tuple(rows))
    return Request(
        tuple(rows),
        tuple(_known("--tables", TABLES, tables, [])),
        tuple(_known("--figures", FIGURES, figures, [])),
    )


def _known(option: str, known: Iterable[Any], given: Iterable[Any] | None, default: list[Any]) -> list[Any]:
    """The given ones in the order of ``known``."""
    known = list(known)
    if given is None:
        return default
    wanted = list(given)
    wrong = [str(item) for item in wanted if item not in known]
    if wrong or not wanted:
        named = ", ".join(wrong) or "(nothing)"
        raise DermsslError(f"{option} {named}: unknown; use one or more of {', '.join(map(str, known))}")
    return [item for item in known if item in wanted]
