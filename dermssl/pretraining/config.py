"""Every decision of a pretraining run, in one frozen dataclass: the options of ``pretrain`` and its command."""

import dataclasses
import difflib
import os
import typing
from dataclasses import dataclass, field
from typing import Any

from dermssl.data.decode import Fit
from dermssl.errors import DermsslError


def _option(default: Any, help: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class PretrainConfig:
    """The options of a run; each field's meaning, default and choices stand in its metadata."""

    method: str = _option("rotinstdisc", "Self-supervised method: rotinstdisc, moco, rotation, simclr, byol or pirl.")
    backbone: str = _option("resnet18", "Any timm architecture.")
    init: str | None = _option(
        None, "Weights of that architecture to start from: a run, an export, hf-hub:..., timm:...; default: random."
    )
    recipe: str = _option(
        "default",
        "Set of defaults: for long runs (SGD), for short ones of up to a few thousand steps (AdamW), or the paper's.",
        ("default", "short", "paper"),
    )
    epochs: int = _option(200, "Passes over the images.")
    batch_size: int | None = _option(None, "Images a step, in all processes; default 512 on CUDA, 128 on the CPU.")
    image_size: int | None = _option(None, "Edge of the views in pixels; default: the backbone's own.")
    fit: Fit = _option("squash", "How an image becomes square.", ("squash", "crop"))  # noqa: RUF009
    lr: float = _option(0.06, "Learning rate at a batch of --lr-batch images; scaled linearly with the batch.")
    lr_batch: int = _option(128, "The batch that --lr is meant for; the paper's is 512.")
    opt: str = _option("sgd", "Optimizer, by its timm name.")
    weight_decay: float = _option(1e-4, "Weight decay; none on norms and biases.")
    sched: str = _option("cosine", "Schedule of the learning rate, by its timm name.")
    warmup_epochs: float | None = _option(None, "Epochs of linear warm-up; default: a twentieth of all, at most 10.")
    rotation_weight: float = _option(0.1, "Lambda of eq. 5: weight of the rotation loss.")
    rotation_activation: str = _option(
        "sigmoid", "Sigmoid before the rotation cross-entropy as in eq. 1, or none.", ("sigmoid", "none")
    )
    queue_size: int = _option(8192, "Number of keys kept as negatives; at most the number of images.")
    temperature: float = _option(0.2, "Temperature of the instance loss.")
    momentum: float | None = _option(None, "Of the momentum encoder; default: 0.99 for short runs to 0.999 for long.")
    momentum_schedule: str = _option(
        "constant", "Keep the momentum, or raise it to 1 along a half cosine.", ("constant", "cosine")
    )
    key_norm: str = _option("batch", "BatchNorm of the key encoder.", ("batch", "ema", "shuffle"))
    sync_bn: bool = _option(False, "BatchNorm over the batches of all GPUs (torchrun), not of each alone.")
    crop_scale: float = _option(0.2, "Smallest share of the image's area that a view keeps.")
    flip: str = _option(
        "horizontal",
        "Random flips; both together make half turns and blind the rotation task.",
        ("none", "horizontal", "both"),
    )
    brightness: float = _option(0.4, "Strength of the brightness change.")
    contrast: float = _option(0.4, "Strength of the contrast change.")
    saturation: float = _option(0.4, "Strength of the saturation change.")
    hue: float = _option(0.1, "Strength of the hue change, in turns of the colour circle.")
    grayscale: float = _option(0.2, "Share of the views without colour.")
    device: str = _option("auto", "Where to compute.", ("auto", "cpu", "cuda"))
    precision: str = _option(
        "auto", "Autocast precision; auto is bf16 where the hardware has it.", ("auto", "fp32", "bf16")
    )
    seed: int = _option(0, "Seed of weights, order and augmentation.")
    limit: int | None = _option(None, "Use only so many images, drawn at random.")
    eval_data: str | None = _option(None, "Labelled images: KNN accuracy is logged during the run.")
    eval_every: int | None = _option(None, "Epochs between two such evaluations; default: a tenth of all.")
    workers: int | None = _option(None, "Threads that decode images; default: one a core.")

    def __post_init__(self) -> None:
        self._require_types()
        for name in (
            "epochs",
            "image_size",
            "queue_size",
            "limit",
            "eval_every",
            "workers",
            "lr_batch",
        ):
            self._require(name, lambda v: v >= 1, "1 or more")
        self._require("batch_size", lambda v: v >= 2, "2 or more: BatchNorm needs a spread")
        for name in ("lr", "temperature"):
            self._require(name, lambda v: v > 0, "above 0")
        for name in ("weight_decay", "rotation_weight", "warmup_epochs", "seed"):
            self._require(name, lambda v: v >= 0, "0 or more")
        for name in ("brightness", "contrast", "saturation", "grayscale"):
            self._require(name, lambda v: 0 <= v <= 1, "in [0, 1]")
        self._require("hue", lambda v: 0 <= v <= 0.5, "in [0, 0.5]")
        self._require("crop_scale", lambda v: 0 < v <= 1, "in (0, 1]")
        self._require("momentum", lambda v: 0 <= v < 1, "in [0, 1)")
        for f in dataclasses.fields(self):
            choices = f.metadata["choices"]
            if choices and getattr(self, f.name) not in choices:
                value = getattr(self, f.name)
                raise DermsslError(f"{flag(f.name)} {value}: unknown; use one of {', '.join(choices)}")

    def _require_types(self) -> None:
        for name, hint in typing.get_type_hints(PretrainConfig).items():
            value, kinds = getattr(self, name), typing.get_args(hint) or (hint,)
            kinds = (str,) if isinstance(kinds[0], str) else kinds  # a Literal
            if not isinstance(value, (*kinds, int) if float in kinds else kinds):
                expected = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
                raise DermsslError(f"{flag(name)} is {value!r}; it must be {expected}")

    def _require(self, name: str, holds: Any, range_: str) -> None:
        value = getattr(self, name)
        if value is not None and not (value == value and holds(value)):  # value != value: NaN
            raise DermsslError(f"{flag(name)} is {value}; it must be {range_}")


# short: in a few hundred steps AdamW is far ahead of SGD, the old keys of a long queue mislead, and the rotation task
# must weigh more to be learnt (docs/decisions.md).
# paper: what it prints (section 2.2) and, where it is silent, MoCo's values; its flip is only called random.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "short": {"opt": "adamw", "lr": 1e-3, "weight_decay": 0.05, "queue_size": 1024, "rotation_weight": 0.5},
    "paper": {
        "epochs": 200,
        "batch_size": 512,
        "image_size": 224,
        "fit": "squash",
        "lr": 0.06,
        "lr_batch": 512,
        "opt": "momentum",  # timm's "sgd" is Nesterov's
        "sched": "cosine",
        "warmup_epochs": 0,
        "weight_decay": 1e-4,
        "rotation_weight": 0.1,
        "rotation_activation": "sigmoid",
        "temperature": 0.07,
        "momentum": 0.999,
        "key_norm": "shuffle",
    },
}


def make_config(**options: Any) -> PretrainConfig:
    """The recipe's values, overridden by the options that were given.

    Raises:
        DermsslError: an option is unknown (close names are shown) or out of its range.
    """
    names = [f.name for f in dataclasses.fields(PretrainConfig)]
    for name in options:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=3)
            raise DermsslError(
                f"pretrain has no option {name!r}" + (f"; did you mean {', '.join(close)}?" if close else "")
            )
    recipe = options.get("recipe", "default")
    if recipe not in RECIPES:
        raise DermsslError(f"--recipe {recipe}: unknown; use one of {', '.join(RECIPES)}")
    for name in ("eval_data", "init"):
        if isinstance(options.get(name), os.PathLike):
            options[name] = os.fspath(options[name])
    return PretrainConfig(**{**RECIPES[recipe], **options})


def flag(name: str) -> str:
    """The command-line spelling of an option: ``batch_size`` -> ``--batch-size``."""
    return "--" + name.replace("_", "-")
