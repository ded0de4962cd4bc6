"""Every decision of a pretraining run, in one frozen dataclass: the options of ``pretrain`` and its command."""

from dataclasses import dataclass
from typing import Any

from dermssl.data.arguments import ColumnOptions
from dermssl.data.policy import ViewPolicy
from dermssl.methods.choices import KEY_NORMS, MOMENTUM_SCHEDULES, ROTATION_ACTIVATIONS, ROTATION_TASKS
from dermssl.methods.registry import METHODS
from dermssl.options import (
    DEVICE,
    FITS,
    HUGE,
    LARGEST_EDGE,
    LARGEST_SEED,
    MOST_EPOCHS,
    MOST_WORKERS,
    PRECISIONS,
    Fit,
    Options,
    check,
    flag,
    make_options,
    option,
    refuse_unknown,
    said_of,
)

# short: in a few hundred steps AdamW is far ahead of SGD, the old keys of a long queue mislead, the rotation task must
# weigh more to be learned, and views that keep their colour teach that colour tells (docs/measurements/decisions.md).
# paper: what it prints (section 2.2) and, where it is silent, MoCo's values; its flip is only called random.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "short": {
        "opt": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.05,
        "queue_size": 1024,
        "rotation_weight": 0.5,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
        "hue": 0.02,
        "grayscale": 0.0,
    },
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
        "rotation_task": "query",
        "queue_size": 8192,
        "temperature": 0.07,
        "momentum": 0.999,
        "key_norm": "shuffle",
    },
}


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(ViewPolicy, ColumnOptions):
    """The options of a run; what each means, its range and its choices stand beside it."""

    method: str = option("rotinstdisc", f"Self-supervised method: {', '.join(METHODS)}.")
    backbone: str = option("resnet18", "Any timm architecture.")
    init: str | None = option(
        None,
        "Weights of that architecture to start from: a run, an export, hf-hub:ORG/NAME or timm:NAME.",
        metavar="WEIGHTS",
        unset="random weights",
    )
    recipe: str = option(
        "default",
        "Set of defaults: for long runs (SGD), for short ones of up to a few thousand steps (AdamW), or the paper's.",
        choices=tuple(RECIPES),
    )
    epochs: int = option(200, "Number of passes over the images.", least=1, most=MOST_EPOCHS)
    batch_size: int | None = option(
        None,
        "Images per step, over all processes; BatchNorm needs at least 2.",
        least=2,
        most=2**20,
        unset="512 on CUDA, 128 on the CPU",
    )
    image_size: int | None = option(
        None, "Edge of the views, in pixels.", least=1, most=LARGEST_EDGE, unset="the backbone's own"
    )
    fit: Fit = option("squash", "How an image is made square.", choices=FITS)
    lr: float = option(
        0.06,
        "Learning rate at a batch of --lr-batch images; scaled with the batch (adaptive --opt: by its square root).",
        above=0,
        most=HUGE,
    )
    lr_batch: int = option(128, "Batch size that --lr is meant for; the paper's is 512.", least=1, most=2**20)
    opt: str = option("sgd", "Optimizer, by its timm name.")
    weight_decay: float = option(1e-4, "Weight decay; none on norms and biases.", least=0, most=HUGE)
    sched: str = option("cosine", "Schedule of the learning rate, by its timm name.")
    warmup_epochs: float | None = option(
        None,
        "Number of epochs of linear warm-up.",
        least=0,
        most=MOST_EPOCHS,
        unset="a twentieth of --epochs, at most 10",
    )
    rotation_weight: float = option(0.1, "Lambda of eq. 5: weight of the rotation loss.", least=0, most=HUGE)
    rotation_activation: str = option(
        "sigmoid",
        "Sigmoid before the rotation cross-entropy as in eq. 1, or none.",
        choices=ROTATION_ACTIVATIONS,
    )
    rotation_task: str = option(
        "query",
        "Which turn is predicted: the query's (the paper), the one between query and key, or a third, small crop's.",
        choices=ROTATION_TASKS,
    )
    queue_size: int | None = option(
        None,
        "Number of keys kept as negatives; an image's own are left out.",
        least=1,
        most=2**24,
        unset="8192, fewer for few images or a short run",
    )
    temperature: float = option(0.2, "Temperature of the instance loss.", above=0, most=HUGE)
    momentum: float | None = option(
        None, "Momentum of the key encoder.", least=0, below=1, unset="0.99 for short runs to 0.999 for long ones"
    )
    momentum_schedule: str = option(
        "constant", "Keep the momentum, or raise it to 1 along a half cosine.", choices=MOMENTUM_SCHEDULES
    )
    key_norm: str = option("batch", "BatchNorm of the key encoder.", choices=KEY_NORMS)
    sync_bn: bool = option(False, "Compute BatchNorm over the batches of all GPUs (torchrun), not over each one's own.")
    device: str = option("auto", "Where to compute: auto, cpu, cuda or cuda:N.", pattern=DEVICE)
    precision: str = option(
        "auto",
        "Autocast precision; auto: bf16 where the hardware multiplies in it, fp16 on older GPUs.",
        choices=PRECISIONS,
    )
    seed: int = option(0, "Seed of weights, order and augmentation.", least=0, most=LARGEST_SEED)
    limit: int | None = option(None, "Use only this many images, drawn at random.", least=1, unset="all")
    eval_data: str | None = option(
        None, "Labelled images on which KNN accuracy is logged during the run.", metavar="DATA"
    )
    eval_every: int | None = option(
        None, "Number of epochs between evaluations on --eval-data.", least=1, unset="a tenth of --epochs"
    )
    track: str | None = option(
        None,
        "Send each epoch's figures to a tracker too.",
        choices=("tensorboard", "wandb", "trackio"),
        unset="metrics.jsonl only",
    )
    compile: str = option(
        "auto", "Compile the network (torch.compile); auto: on CUDA only.", choices=("auto", "yes", "no")
    )
    checkpoint_every: float = option(
        120.0,
        "Seconds between checkpoints, also within an epoch; 0 writes one after every step.",
        least=0,
        most=HUGE,
    )
    workers: int | None = option(
        None, "Number of threads that decode images.", least=1, most=MOST_WORKERS, unset="one per CPU core"
    )
    method_options: dict | None = option(
        None, "Options that the method has besides these, by name; each may be given by itself.", command=False
    )


# Options that may differ when a run is resumed: they do not change what is learned.
FREE_ON_RESUME = (
    "device", "workers", "eval_data", "label", "group", "eval_every", "track", "checkpoint_every", "compile",
)  # fmt: skip


def make_config(**options: Any) -> PretrainConfig:
    """The recipe's values, overridden by the options that were given.

    Raises:
        DermsslError: an option is unknown (close names are shown) or out of its range.
    """
    recipe = options.get("recipe", "default")
    check("recipe", recipe, choices=tuple(RECIPES))
    shared = said_of(PretrainConfig)
    method = options.get("method", PretrainConfig.method)
    own = {**(options.pop("method_options", None) or {}), **{n: options.pop(n) for n in options.keys() - shared}}
    if own:
        refuse_unknown(own, [*shared, *said_of(own_options(method))], "pretrain")
        checked = own_options(method)(**own)
        options["method_options"] = {name: getattr(checked, name) for name in own}
    return make_options(PretrainConfig, {**RECIPES[recipe], **options}, "pretrain")


def own_options(method: str) -> type[Options]:
    """The options that a method has and ``pretrain`` has not: the other keywords of its constructor."""
    if method not in METHODS:
        return Options
    return METHODS[method].options(without={*said_of(PretrainConfig), "images"})


def differences(stored: dict[str, Any], config: PretrainConfig) -> list[str]:
    """The options by which ``config`` is another run than that of a stored configuration, in words."""
    # an option that an earlier version did not have stood at its default
    stored = {**vars(PretrainConfig()), **stored}
    return [
        f"{flag(name)} {stored[name]} (now {value})"
        for name, value in vars(config).items()
        if name not in FREE_ON_RESUME and stored[name] != value
    ]
