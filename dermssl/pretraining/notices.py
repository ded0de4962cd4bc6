"""What a run says lest anybody wait in vain: how long it will take, which options do nothing, what is not learned."""

import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from dermssl import distributed
from dermssl.errors import DermsslError
from dermssl.evaluation.features import extract_features
from dermssl.methods.registry import METHODS
from dermssl.options import flag, said_of
from dermssl.pretraining.config import PretrainConfig, make_config
from dermssl.pretraining.decided import Resolved
from dermssl.pretraining.trainer import Trainer

LOGGER = logging.getLogger("dermssl")

# How near to the loss of guessing counts as frozen; a run that learns is ten times as far off after an epoch.
FROZEN_WITHIN = 0.01

# How many images a look at the features takes: a second of work at 224 px on two cores.
LOOKED_AT = 32
# Spread of the features over their length, below which all images look the same; untrained networks have 0.05.
COLLAPSED_BELOW = 1e-3
# The spread that BYOL logs, of embeddings over their directions: about 1 where they point everywhere.
BYOL_COLLAPSED_BELOW = 0.02

QUARTER = 0.25  # of the turns are guessed right
MILESTONES = (0.25, 0.5, 1.0)  # shares of a run at which a task at chance is said

LONG = 2 * 3600.0  # seconds that are worth a word before they are spent
AFTERNOON = 4 * 3600.0
# Schedules of timm that lower the rate for the first time after so many epochs, whatever the length of a run.
FIRST_LOWERED = {"step": 90, "multistep": 90}

WARM, MEASURED = 3, 5  # steps before the measured ones, which compile kernels and fill caches; and those


def say_unused(config: PretrainConfig, images: int) -> None:
    """Log the options that were given and change nothing."""
    own, usual = said_of(METHODS[config.method].options()), make_config(recipe=config.recipe)
    unused = {
        "momentum_schedule": config.momentum_schedule != "constant" and "momentum" not in own and "no momentum encoder",
        "rotation_activation": "rotation_activation" in own
        and config.rotation_weight == 0
        and config.rotation_activation != usual.rotation_activation
        and "--rotation-weight 0",
        "eval_every": config.eval_every is not None and config.eval_data is None and "no --eval-data",
        "label": config.label is not None
        and config.eval_data is None
        and "no --eval-data, and training uses no labels",
        "group": config.group is not None
        and config.eval_data is None
        and "no --eval-data, and training uses no groups",
        "sync_bn": config.sync_bn and distributed.world_size() == 1 and "one process only",
        "sched": config.epochs < FIRST_LOWERED.get(config.sched, 0)
        and f"timm's {config.sched} lowers the rate after {FIRST_LOWERED[config.sched]} epochs, and the run has "
        f"{config.epochs}",
        "limit": config.limit is not None and config.limit >= images and f"{images} images in all",
        "init": config.init is not None and config.init.startswith("random:") and "random weights are the default",
    }
    for name, why in unused.items():
        if why:
            LOGGER.warning("%s has no effect: %s", flag(name), why)


def say_inside(data: str | Path, output: str | Path) -> None:
    """Warn of a run inside its own images: a heat map or a figure that is put there becomes one of them."""
    if Path(data).is_dir() and Path(output).resolve().is_relative_to(Path(data).resolve()):
        LOGGER.warning(
            "--output %s is inside DATA: pictures that are put there later, such as heat maps, will be read as images, "
            "and the run will not go on; better name a folder elsewhere",
            output,
        )


class Forecast:
    """One line, after a few steps on a CPU, where the run will take longer than two hours."""

    def __init__(self, trainer: Trainer, resolved: Resolved) -> None:
        self.trainer, self.resolved, self.steps = trainer, resolved, 0
        self.wanted = trainer.device.type == "cpu" and distributed.is_main()

    def after_step(self) -> None:
        """Count a step, and speak after the last that is measured."""
        if not self.wanted:
            return
        self.steps += 1
        if self.steps == WARM:
            self.started = time.perf_counter()
        elif self.steps == WARM + MEASURED:
            self.wanted = False
            each = (time.perf_counter() - self.started) / MEASURED
            line = self.line(each)
            if line:
                LOGGER.warning(line)

    def line(self, seconds: float) -> str | None:
        """What to say where a step takes ``seconds``; None where the run is short enough."""
        left = seconds * (self.resolved.steps - self.trainer.step)
        if left < LONG:
            return None
        text = f"this will take about {_duration(left)} on this CPU ({self.resolved.batch_size / seconds:.3g} images/s)"
        return text if left <= AFTERNOON else f"{text}; {self._advice(seconds)}"

    def _advice(self, seconds: float) -> str:
        """The largest images, and the most passes over them, that fit an afternoon; else fewer images."""
        epoch, size = seconds * len(self.trainer.loader), self.resolved.image_size
        wanted = min(20, self.trainer.config.epochs)
        for smaller in (size, *(edge for edge in (160, 128, 96, 64, 32) if edge < size)):
            epochs = int(AFTERNOON / (epoch * (smaller / size) ** 2))
            if epochs >= wanted:
                epochs = min(epochs, self.trainer.config.epochs)
                edge = f"--image-size {smaller} " if smaller < size else ""
                return f"{edge}--recipe short --epochs {epochs} takes an afternoon, a GPU minutes to hours"
        fewer = int(self.resolved.images * AFTERNOON / (wanted * epoch * (32 / size) ** 2))
        return f"--image-size 32 --recipe short --epochs {wanted} --limit {fewer} takes an afternoon, a GPU far less"


class Watch:
    """Looks for what is not learned while a run trains; on the main process."""

    def __init__(self, trainer: Trainer, resolved: Resolved) -> None:
        self.trainer, self.resolved = trainer, resolved

    def after_epoch(self, metrics: dict[str, Any]) -> None:
        """Warn where the numbers of an epoch are those of guessing."""
        self._warn_if_frozen(metrics)
        epochs = self.trainer.config.epochs
        due = metrics["epoch"] in {math.ceil(share * epochs) for share in MILESTONES} and metrics["epoch"] > 1
        accuracy = metrics.get("rotation_accuracy")
        if due and accuracy is not None:
            seen = len(self.trainer.loader) * self.trainer.loader.batch_size
            chance = QUARTER + max(0.02, 3 * math.sqrt(QUARTER * (1 - QUARTER) / seen))
            if accuracy < chance:
                short = self.trainer.config.recipe == "short"
                LOGGER.warning(
                    "the rotation task is at chance: after %d epochs %.0f %% of the turns are predicted correctly, and "
                    "guessing is right for 25 %%. Try %s, a larger --rotation-weight or --rotation-activation none",
                    metrics["epoch"],
                    100 * accuracy,
                    "more epochs" if short else "--recipe short for a short run",
                )
        spread = metrics.get("spread")
        if spread is not None and spread < BYOL_COLLAPSED_BELOW and metrics["epoch"] > 1:
            self._warn_of_collapse()

    def look_at_features(self) -> None:
        """See what the backbone makes of some images, as an evaluation would.

        Raises:
            Diverged: a feature is not finite, which finite weights can give, too.
        """
        images = self.trainer.loader.images
        try:
            features = extract_features(
                self.trainer.task.backbone,
                images,
                image_size=self.resolved.image_size,
                rows=np.arange(min(LOOKED_AT, len(images))),
                device=self.trainer.device,
                precision="fp32",
                batch_size=LOOKED_AT,
            )
        except DermsslError as error:
            raise self.trainer.diverged("the features of the backbone are not finite") from error
        length = np.linalg.norm(features, axis=1).mean()
        if self.trainer.epoch > 0 and np.linalg.norm(features.std(axis=0)) <= COLLAPSED_BELOW * length:
            self._warn_of_collapse()

    def _warn_if_frozen(self, metrics: dict[str, Any]) -> None:
        """Warn where the instance loss is that of guessing: all embeddings are equal, or the queue is stuck."""
        chance = self.trainer.task.chance_loss()
        if chance is None:
            return
        loss = metrics.get("loss_instance", metrics["loss"])
        if metrics["epoch"] > 1 and abs(loss - chance) < FROZEN_WITHIN:
            LOGGER.warning(
                "the instance loss stands at %.3f = log(keys + 1), the value of guessing: nothing is learned. "
                "Try a lower --lr, a longer --warmup-epochs or, with a momentum encoder, another --key-norm",
                chance,
            )

    def _warn_of_collapse(self) -> None:
        LOGGER.warning(
            "the features have collapsed: all images have nearly the same. Start over with a lower --lr, a longer "
            "--warmup-epochs or another --method"
        )


def _duration(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"
