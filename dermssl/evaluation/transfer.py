"""Weights and labelled images, ready for training classifiers on any share of the labels."""

import dataclasses
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from dermssl.backbones.facts import name_of
from dermssl.backbones.load import load_backbone
from dermssl.backbones.sizes import resolve_image_size
from dermssl.data.cache import Cache
from dermssl.devices import resolve_device, resolve_precision
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import TransferOptions
from dermssl.evaluation.features import extract_features
from dermssl.evaluation.fitted import save_fitted, with_classifier, with_head
from dermssl.evaluation.frozen import ITERATIONS, STRENGTH, LinearHead, fit_head
from dermssl.evaluation.protocol import Protocol, make_protocol, open_labelled
from dermssl.evaluation.recipes import Recipe, find_recipe
from dermssl.evaluation.report import Report
from dermssl.evaluation.scoring import make_report
from dermssl.evaluation.subsets import subset
from dermssl.evaluation.training import Machine, predict, steps_of, train_network

logger = logging.getLogger("dermssl")


@dataclass(frozen=True)
class Transfer:
    """Weights and labelled images, ready to be evaluated with any share of the labels."""

    backbone: nn.Module
    name: str
    data: str
    protocol: Protocol
    options: TransferOptions
    image_size: int
    machine: Machine
    features: tuple[np.ndarray, np.ndarray] | None  # frozen: (N, D) of the training and of the test set

    @classmethod
    def prepare(
        cls,
        weights: str | Path | nn.Module,
        data: str | Path | Cache,
        options: TransferOptions,
    ) -> "Transfer":
        """Load the weights, decode the images, divide them, and compute the features if they are frozen."""
        precision, seed = options.precision, options.seed
        where = resolve_device(options.device)
        if options.freeze and precision == "auto":
            precision = "fp32"
        machine = Machine(where, resolve_precision(precision, where))
        backbone = weights if isinstance(weights, nn.Module) else load_backbone(weights, seed=seed)
        size = resolve_image_size(backbone, options.image_size, adapt=not isinstance(weights, nn.Module))
        common: dict[str, Any] = {"image_size": size, "fit": options.fit, "progress": options.progress}
        train = open_labelled(data, **common)
        other = None if options.test is None else open_labelled(options.test, option="--test", **common)
        protocol = make_protocol(train, other, folds=options.folds, split=options.split, seed=seed)
        features = None
        if options.freeze:
            extraction: dict[str, Any] = {
                "image_size": size,
                "device": where,
                "precision": precision,
                "progress": options.progress,
            }
            first = extract_features(backbone, train.images, rows=train.rows, **extraction)
            second = first
            if other is not None:
                second = extract_features(backbone, other.images, rows=other.rows, **extraction)
            features = first, second
        return cls(
            backbone=backbone,
            name=name_of(weights),
            data=str(data) if not isinstance(data, Cache) else train.source,
            protocol=protocol,
            options=options,
            image_size=size,
            machine=machine,
            features=features,
        )

    @property
    def recipe(self) -> Recipe:
        return find_recipe(self.options.recipe)

    def evaluate(
        self,
        *,
        fraction: float = 1.0,
        predictions: str | Path | None = None,
        output: str | Path | None = None,
    ) -> Report:
        """Train and test in every fold with a share of the labels; of the training labels."""
        epochs = self.options.epochs
        if epochs is not None and self.features is not None and self.recipe.head == "logistic":
            raise DermsslError(
                f"--epochs {epochs}: the frozen head of --recipe {self.options.recipe} is a logistic regression, "
                "fitted to its optimum; leave the option out or use --recipe paper"
            )
        rounds, train = self.protocol.rounds, self.protocol.train
        subsets = [
            round_.train[subset(train.labels[round_.train], fraction, seed=self.options.seed + round_.fold)]
            for round_ in rounds
        ]
        answers = []
        fitted: LinearHead | nn.Module
        for number, (round_, chosen) in enumerate(zip(rounds, subsets, strict=True), start=1):
            started = time.monotonic()
            title = f"fold {number} of {len(rounds)}" if len(rounds) > 1 else "test set"
            fitted = self._fit(chosen, epochs, seed=self.options.seed + round_.fold, title=title)
            answer = self._ask(fitted, round_.test)
            if not np.isfinite(answer).all():
                raise DermsslError(f"{title}: the trained network answers NaN; try --precision fp32")
            answers.append(answer)
            logger.info(
                "%s: accuracy %.2f %% (%d training images, %.0f s)",
                title,
                100 * (answer.argmax(axis=1) == self.protocol.test.labels[round_.test]).mean(),
                len(chosen),
                time.monotonic() - started,
            )
        report = make_report(
            kind="finetune" if self.features is None else "frozen",
            weights=self.name,
            data=self.data,
            protocol=self.protocol,
            parameters=self._parameters(fraction, epochs, subsets),
            answers=answers,
        )
        # before the model: one more training, or a full disk, must not lose them
        if predictions is not None and report.predictions is not None:
            report.predictions.save(predictions)
        if output is not None:
            if len(rounds) > 1:
                every = subset(train.labels, fraction, seed=self.options.seed)
                fitted = self._fit(every, epochs, seed=self.options.seed, title="all images")
            self._save(fitted, output)
        return report

    def _save(self, fitted: LinearHead | nn.Module, output: str | Path) -> None:
        """Write the model, or the backbone with the head, for timm."""
        train = self.protocol.train
        save_fitted(
            with_head(self.backbone, fitted) if isinstance(fitted, LinearHead) else fitted,
            output,
            train.classes,
            image_size=self.image_size,
            about={"weights": self.name, "trained_on": self.data, "recipe": self.options.recipe},
            fit=train.about["fit"],
        )

    def _fit(self, chosen: np.ndarray, epochs: int | None, *, seed: int, title: str) -> LinearHead | nn.Module:
        """A head or a network trained on the chosen training images."""
        train, device = self.protocol.train, self.machine.device
        labels, classes = train.labels[chosen], len(train.classes)
        if self.features is not None:
            features = self.features[0][chosen]
            return fit_head(features, labels, classes, self.recipe, epochs=epochs, seed=seed, device=device)
        model = with_classifier(self.backbone, classes, seed=seed)
        passes, steps = steps_of(self.recipe, len(chosen), epochs)
        quiet = None if self.options.progress else True
        with (
            tqdm(total=passes * steps, desc=title, unit="step", disable=quiet, leave=False) as bar,
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        ):
            torch.manual_seed(seed)  # of dropout

            def show(step: int, loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.3f}", epoch=f"{math.ceil(step / steps)}/{passes}", refresh=False)
                bar.update(step - bar.n)

            train_network(
                model,
                train.images,
                train.rows[chosen],
                labels,
                self.recipe,
                image_size=self.image_size,
                epochs=epochs,
                machine=self.machine,
                seed=seed,
                on_step=show,
            )
        return model

    def _ask(self, fitted: LinearHead | nn.Module, chosen: np.ndarray) -> np.ndarray:
        """(n, C) probabilities of the chosen test images."""
        if isinstance(fitted, LinearHead):
            assert self.features is not None
            return fitted.probabilities(self.features[1][chosen])
        test = self.protocol.test
        return predict(fitted, test.images, test.rows[chosen], image_size=self.image_size, machine=self.machine)

    def _parameters(self, fraction: float, epochs: int | None, subsets: list[np.ndarray]) -> dict[str, Any]:
        """Every parameter that moves the figures."""
        train, test, split = self.protocol.train, self.protocol.test, self.protocol.split
        recipe = dataclasses.asdict(self.recipe)
        if self.features is not None and self.recipe.head == "logistic":
            recipe = {"head": "logistic", "strength": STRENGTH, "iterations": ITERATIONS}
        else:
            recipe["epochs"], recipe["steps_per_epoch"] = steps_of(self.recipe, len(subsets[0]), epochs)
        return {
            "evaluation": "finetune" if self.features is None else "frozen",
            "recipe": self.options.recipe,
            "epochs": epochs,
            **{key: split.get(key) for key in ("split", "folds")},
            "test": None if test is train else test.source,
            "fraction": fraction,
            "train_images": [len(chosen) for chosen in subsets],
            "seed": self.options.seed,
            "image_size": self.image_size,
            "cache_size": train.about["cache_size"],
            "fit": train.about["fit"],
            "resize": "bilinear, antialiased",
            "precision": str(self.machine.dtype).removeprefix("torch."),
            "training": recipe,
        }
