"""The budget and protocol of a reproduction: what must be the same for all its cells."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dermssl.errors import DermsslError
from dermssl.paper.numbers import FIGURES, TABLES, TITLES


def _option(default: Any, help: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """Of one output folder. None leaves a value to ``resolve``, or to a recipe.

    The meaning of each field stands in its metadata, which is the help of the command.
    """

    backbone: str = _option("resnet18", "Any timm architecture.")
    recipe: str = _option("default", "Recipe of the pretraining.", ("default", "short", "paper"))
    epochs: int | None = _option(None, "Passes of each pretraining.  [default: the recipe's, 200]")
    batch_size: int | None = _option(
        None, "Images a step of the pretraining.  [default: 512 on CUDA, 128 on the CPU, or all images if fewer]"
    )
    image_size: int | None = _option(None, "Edge in pixels, everywhere.  [default: the backbone's own]")
    queue_size: int | None = _option(
        None, "Keys kept as negatives.  [default: 8192, or the largest power of two within the number of images]"
    )
    limit: int | None = _option(None, "Use only so many images of each data set, drawn at random.")
    eval_limit: int | None = _option(None, "Use only so many labelled images.  [default: --limit]")
    k: int | None = _option(None, "Neighbours of the KNN.  [default: the paper's 100, or a quarter of the images]")
    finetune_recipe: str = _option(
        "default", "Recipe of the fine-tuning; paper: SGD, batch 64, learning rate 0.001.", ("default", "paper")
    )
    finetune_epochs: int | None = _option(
        None, "Passes of the fine-tuning.  [default: the recipe's, or --epochs if that is fewer]"
    )
    few_labels: str = _option(
        "finetune", "How Figure 5 uses its labels; frozen is much cheaper.", ("finetune", "frozen")
    )
    folds: int = _option(5, "Folds of the cross-validation.")
    split: str = _option(
        "lesion", "Keep the images of a lesion in one fold, or split plainly as the paper.", ("lesion", "paper")
    )
    imagenet: str | None = _option(
        None, "Weights of the row imagenet.  [default: timm:resnet18.a1_in1k, or timm:BACKBONE]"
    )
    precision: str = _option("auto", "auto is bf16 where the hardware has it.", ("auto", "fp32", "bf16"))
    seed: int = _option(0, "Seed of weights, order, augmentation, folds and draws.")

    def __post_init__(self) -> None:
        least = dict.fromkeys(
            ("epochs", "batch_size", "image_size", "queue_size", "k", "finetune_epochs"), 1
        ) | {"limit": 2, "eval_limit": 2, "folds": 2, "seed": 0}  # fmt: skip
        for f in dataclasses.fields(self):
            value, choices = getattr(self, f.name), f.metadata["choices"]
            option = "--" + f.name.replace("_", "-")
            if choices and value not in choices:
                raise DermsslError(f"{option} {value}: unknown; use one of {', '.join(choices)}")
            if f.name in least and value is not None:
                if not isinstance(value, int) or isinstance(value, bool):
                    raise DermsslError(f"{option} is {value!r}; it must be a whole number")
                if value < least[f.name]:
                    raise DermsslError(f"{option} is {value}; it must be {least[f.name]} or more")

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


@dataclass(frozen=True)
class Request:
    """What is asked for: rows, tables, figures."""

    methods: tuple[str, ...] = tuple(TITLES)
    tables: tuple[int, ...] = TABLES
    figures: tuple[int, ...] = FIGURES


def make_request(methods: Iterable[str] | None, tables: Iterable[int] | None, figures: Iterable[int] | None) -> Request:
    """Everything where nothing is named; tables named without figures, or figures without tables, mean only those.

    Raises:
        DermsslError: there is no such row, table or figure.
    """
    rows = _known("--methods", TITLES, methods, list(TITLES))
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
