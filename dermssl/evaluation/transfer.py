"""Weights and labelled images, ready for training classifiers on any share of the labels."""

import dataclasses
import hashlib
import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermssl.data.cache import Cache
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import FinetuneOptions, TransferOptions
from dermssl.evaluation.fitted import (
    check_output,
    check_room,
    made_by,
    refuse_other_classifier,
    request_of,
    save_fitted,
    spoken_name,
    with_classifier,
    with_head,
)
from dermssl.evaluation.frozen import ITERATIONS, STRENGTH, LinearHead, fit_head
from dermssl.evaluation.kept import KeptFolds
from dermssl.evaluation.late import NotSaved, save_answers
from dermssl.evaluation.protocol import Protocol
from dermssl.evaluation.recipes import RECIPES, Recipe
from dermssl.evaluation.report import Report
from dermssl.evaluation.scoring import make_report
from dermssl.evaluation.setup import Setup, divide, features_of
from dermssl.evaluation.strength import CRITERION, GRID, Strength, choose_strength
from dermssl.evaluation.subsets import subset
from dermssl.evaluation.training import Machine, predict, steps_of, train_network
from dermssl.progress import progress_bar
from dermssl.version import versions

LOGGER = logging.getLogger("dermssl")


@dataclass(frozen=True)
class Transfer:
    """Weights and labelled images, ready to be evaluated with any share of the labels."""

    setup: Setup
    data: str
    protocol: Protocol
    options: TransferOptions
    features: tuple[np.ndarray, np.ndarray] | None  # frozen: (N, D) of the training and of the test set
    views: Cache | None  # not frozen: the training images as views are cut from them
    by: tuple[str, ...]  # columns whose subgroups get figures of their own

    @classmethod
    def prepare(cls, weights: str | Path | nn.Module, data: str | Path | Cache, options: TransferOptions) -> "Transfer":
        """Load the weights, decode the images, divide them, and compute the features if they are frozen."""
        precision = "fp32" if options.freeze and options.precision == "auto" else options.precision
        setup = Setup.by(weights, options, precision=precision)
        if options.freeze and isinstance(options, FinetuneOptions) and options.output is not None:
            refuse_other_classifier(setup.model)
        protocol, columns = divide(setup, data, options)
        return cls(
            setup=setup,
            data=str(data) if isinstance(data, str | Path) else protocol.train.source,
            protocol=protocol,
            options=options,
            features=features_of(setup, protocol) if options.freeze else None,
            views=None if options.freeze else setup.views(data, protocol.train),
            by=columns,
        )

    @property
    def name(self) -> str:
        return self.setup.name

    @property
    def _machine(self) -> Machine:
        return Machine(self.setup.device, self.setup.dtype)

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.options.recipe]

    def evaluate(
        self,
        *,
        fraction: float = 1.0,
        predictions: str | Path | None = None,
        output: str | Path | None = None,
    ) -> Report:
        """Train and test in every fold with a share of the training labels."""
        epochs = self.options.epochs
        is_there = output is not None and self._is_there(output, fraction)
        if output is not None and not is_there:
            check_room(self.setup.model, output)
        rounds, train, seed = self.protocol.rounds, self.protocol.train, self.options.seed
        subsets = [round_.train[self._share(round_.train, fraction, seed + round_.fold)] for round_ in rounds]
        answers: list[np.ndarray] = []
        strengths: list[Strength] = []
        fitted: LinearHead | nn.Module
        kept = self._kept(fraction, subsets)
        for number, (round_, chosen) in enumerate(zip(rounds, subsets, strict=True), start=1):
            started = time.monotonic()
            title = f"fold {number} of {len(rounds)}" if len(rounds) > 1 else "test set"
            answer = None if kept is None else kept.read(number, (len(round_.test), len(train.classes)))
            source = "kept when this command was stopped"
            if answer is None:
                fitted = self._fit(chosen, round_.validation, epochs, strengths, seed=seed + round_.fold, title=title)
                answer = self._ask(fitted, round_.test)
                if not np.isfinite(answer).all():
                    raise DermsslError(f"{title}: the trained network predicts NaN; try --precision fp32")
                if kept is not None:
                    kept.write(number, answer)
                source = f"{time.monotonic() - started:.0f} s"
            answers.append(answer)
            LOGGER.info(
                "%s: accuracy %.2f %% (%d training images%s, %s)",
                title,
                100 * (answer.argmax(axis=1) == self.protocol.test.labels[round_.test]).mean(),
                len(chosen),
                f", C = {strengths[-1].value:g}" if strengths else "",
                source,
            )
        report = make_report(
            "finetune" if self.features is None else "frozen",
            self.setup,
            self.data,
            self.options,
            self._noted(strengths),
            answers,
            by=self.by,
            **self._parameters(fraction, epochs, subsets, strengths),
        )
        # the answers first: one more training, or a full disk, must not lose them; and no full disk the model
        failure: NotSaved | None = None
        try:
            save_answers(report, predictions)
        except NotSaved as error:
            failure = error
        if output is not None and not is_there:
            if len(rounds) > 1:
                every = self._share(np.arange(len(train)), fraction, self.options.seed)
                fitted = self._fit(every, None, epochs, [], seed=self.options.seed, title="all images")
            try:
                self._save(fitted, output, fraction)
            except DermsslError as error:
                failure = NotSaved(f"{failure}; {error}" if failure else str(error), report)
        if failure is not None:
            raise failure
        if kept is not None:
            kept.clear()
        return report

    def _kept(self, fraction: float, subsets: list[np.ndarray]) -> KeptFolds | None:
        """Where the answers of whole folds are kept; None where nothing long is trained, or in one go."""
        if self.features is not None or len(subsets) == 1:
            return None
        about = self.setup.about(self.protocol.train), self.setup.device.type, versions("torch", "timm")
        digest = hashlib.sha256(json.dumps([self.request(fraction), *about]).encode())
        for round_, chosen in zip(self.protocol.rounds, subsets, strict=True):
            for values in (chosen, round_.test, self.protocol.train.labels[chosen]):
                digest.update(values.tobytes())
        return KeptFolds(digest.hexdigest())

    def _share(self, rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
        """Indices into ``rows``: a share of their labels, drawn by lesion."""
        train = self.protocol.train
        return subset(train.labels[rows], fraction, seed=seed, groups=train.groups[rows])

    def _noted(self, strengths: list[Strength]) -> Protocol:
        """The protocol, with a note on what was chosen."""
        if not strengths:
            return self.protocol.noted()
        values, grid = (", ".join(f"{v:g}" for v in values) for values in ([s.value for s in strengths], GRID))
        if not any(s.chosen_on for s in strengths):
            few = "the training images are too few to choose it on"
            return self.protocol.noted(f"the strength of the classifier is the usual one, C = {STRENGTH:g}: {few}")
        said = f"the strength of the classifier (C = {values}) was chosen by {_chosen_by(strengths)}, from {grid}"
        if not all(s.chosen_on for s in strengths):
            said += f"; where the training images were too few, it is the usual one, {STRENGTH:g}"
        return self.protocol.noted(said, chosen="the strength of the classifier")

    @property
    def _chooses(self) -> bool:
        """Whether a strength is chosen for each training."""
        return self.features is not None and self.recipe.head == "logistic"

    def _is_there(self, output: str | Path, fraction: float) -> bool:
        """Whether ``output`` holds the model of this very training: a kill may come between it and the report.

        Raises:
            DermsslError: it holds something else.
        """
        if made_by(output) != self.request(fraction):
            check_output(output)
            return False
        LOGGER.info("%s holds the fitted model of this command: it is kept, and the report is made again", output)
        return True

    def request(self, fraction: float) -> str:
        """sha256 of all that a model fitted with this share of the labels, and its report, are made from."""
        told = ("progress", "device", "by", "predictions", "output", "fractions")  # move neither model nor figures
        options = {name: value for name, value in vars(self.options).items() if name not in told}
        hashes = (self.protocol.train.about["content_hash"], self.protocol.test.about["content_hash"])
        return request_of(self.setup.model, {**options, "fraction": fraction, "dtype": self.setup.dtype}, hashes)

    def _save(self, fitted: LinearHead | nn.Module, output: str | Path, fraction: float) -> None:
        """Write the model, or the backbone with the head, for timm."""
        train = self.protocol.train
        save_fitted(
            with_head(self.setup.model, fitted) if isinstance(fitted, LinearHead) else fitted,
            output,
            train.classes,
            image_size=self.setup.image_size,
            about={
                "weights": spoken_name(self.name),
                "trained_on": spoken_name(self.data),
                "recipe": self.options.recipe,
                "request": self.request(fraction),
            },
            fit=train.about["fit"],
        )

    def _fit(
        self,
        chosen: np.ndarray,
        validation: np.ndarray | None,
        epochs: int | None,
        strengths: list[Strength],
        *,
        seed: int,
        title: str,
    ) -> LinearHead | nn.Module:
        """A head or a network trained on the chosen training images; a strength that was chosen goes to the list."""
        train, device = self.protocol.train, self.setup.device
        labels, classes = train.labels[chosen], len(train.classes)
        if self.features is not None:
            features = self.features[0][chosen]
            if self._chooses:
                held_out = None if validation is None else (self.features[0][validation], train.labels[validation])
                strengths.append(
                    choose_strength(features, labels, train.groups[chosen], seed=self.options.seed, held_out=held_out)
                )
            strength = strengths[-1].value if strengths else STRENGTH
            return fit_head(
                features, labels, classes, self.recipe, epochs=epochs, seed=seed, strength=strength, device=device
            )
        model = with_classifier(self.setup.model, classes, seed=seed)
        passes, steps = steps_of(self.recipe, len(chosen), epochs)
        with (
            progress_bar(passes * steps, title, "steps", shown=self.setup.progress, leave=False) as bar,
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        ):
            torch.manual_seed(seed)  # of dropout

            def show(step: int, loss: float) -> None:
                bar.update(step - bar.done, f"epoch {math.ceil(step / steps)}/{passes}, loss {loss:.3f}")

            assert self.views is not None
            train_network(
                model,
                self.views.images,
                train.rows[chosen],
                labels,
                self.recipe,
                image_size=self.setup.image_size,
                epochs=epochs,
                machine=self._machine,
                seed=seed,
                on_step=show,
                aspects=self.views.aspects,
            )
        return model

    def _ask(self, fitted: LinearHead | nn.Module, chosen: np.ndarray) -> np.ndarray:
        """(n, C) probabilities of the chosen test images."""
        if isinstance(fitted, LinearHead):
            assert self.features is not None
            return fitted.probabilities(self.features[1][chosen])
        test = self.protocol.test
        return predict(fitted, test.images, test.rows[chosen], image_size=self.setup.image_size, machine=self._machine)

    def _parameters(
        self, fraction: float, epochs: int | None, subsets: list[np.ndarray], strengths: list[Strength]
    ) -> dict[str, Any]:
        """The parameters of a training that affect the figures."""
        recipe = dataclasses.asdict(self.recipe)
        if strengths:
            recipe = {
                "head": "logistic",
                "strength": [chosen.value for chosen in strengths],
                "strengths_tried": list(GRID) if any(chosen.chosen_on for chosen in strengths) else [],
                "chosen_by": _chosen_by(strengths),
                "iterations": ITERATIONS,
            }
        else:
            recipe["epochs"], recipe["steps_per_epoch"] = steps_of(self.recipe, len(subsets[0]), epochs)
        return {
            "recipe": self.options.recipe,
            "epochs": epochs,
            "fraction": fraction,
            "train_images": [len(chosen) for chosen in subsets],
            "training": recipe,
        }


def _chosen_by(strengths: list[Strength]) -> str:
    """The criterion, and what it was computed on; "nothing" where there was nothing to choose on."""
    where = sorted({chosen.chosen_on for chosen in strengths} - {""})
    return f"{CRITERION} on {' and '.join(where)}" if where else "nothing: too few training images"
