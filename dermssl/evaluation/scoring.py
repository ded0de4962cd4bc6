"""From the answers of every round to a report."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import timm
import torch

import dermssl
from dermssl.data.cache import Cache
from dermssl.evaluation import metrics as m
from dermssl.evaluation.arguments import FoldOptions
from dermssl.evaluation.intervals import RESAMPLES, intervals_of
from dermssl.evaluation.predictions import Predictions
from dermssl.evaluation.protocol import Protocol
from dermssl.evaluation.report import Report
from dermssl.evaluation.setup import Setup
from dermssl.evaluation.subgroups import by_subgroup


def make_report(
    kind: str,
    setup: Setup,
    data: str | Path | Cache,
    options: FoldOptions,
    protocol: Protocol,
    answers: list[np.ndarray],
    *,
    by: tuple[str, ...] = (),
    resamples: int = RESAMPLES,
    **own: Any,
) -> Report:
    """The report of an evaluation.

    Args:
        kind: the evaluation's name.
        setup, data, options: what it was asked for.
        protocol: the sets and the rounds.
        answers: for each round the (n, C) probabilities of its test images.
        by: columns of the test images whose subgroups get figures of their own.
        resamples: of the bootstrap.
        **own: the parameters of this evaluation alone that affect its figures.
    """
    parameters = {
        "evaluation": kind,
        **own,
        **{key: protocol.split.get(key) for key in ("split", "folds")},
        "test": None if protocol.test is protocol.train else protocol.test.source,
        "seed": options.seed,
        **setup.about(protocol.train),
    }
    classes = protocol.train.classes
    order = np.concatenate([round_.test for round_ in protocol.rounds])
    probabilities = np.concatenate(answers).astype(np.float64)
    test = protocol.test
    predictions = Predictions(
        images=test.ids[order],
        groups=test.groups[order],
        folds=np.concatenate([np.full(len(round_.test), round_.fold) for round_ in protocol.rounds]),
        labels=test.labels[order],
        predictions=probabilities.argmax(axis=1),
        probabilities=probabilities,
        classes=classes,
    )
    folds, majority = [], []
    for round_, answer in zip(protocol.rounds, answers, strict=True):
        labels = test.labels[round_.test]
        folds.append(m.classification_metrics(labels, answer.astype(np.float64), classes))
        majority.append(float((labels == np.bincount(protocol.train.labels[round_.train]).argmax()).mean()))
    mean = {name: _over(folds, name, np.mean) for name in m.METRICS}
    std = {name: _over(folds, name, lambda v: np.std(v, ddof=1) if len(v) > 1 else np.nan) for name in m.METRICS}
    columns = {name: test.attributes[name][order] for name in by}
    return Report(
        kind=kind,
        weights=setup.name,
        data=str(data) if isinstance(data, str | Path) else protocol.train.source,
        protocol=parameters,
        classes=classes,
        metrics=mean,
        std=std,
        interval=intervals_of(predictions, mean, resamples=resamples),
        majority_accuracy=float(np.mean(majority)),
        per_class=m.per_class(predictions.labels, probabilities, predictions.predictions, classes),
        confusion=m.confusion(predictions.labels, predictions.predictions, classes).tolist(),
        folds=[
            {
                "fold": round_.fold,
                "train_images": len(round_.train),
                "test_images": len(round_.test),
                **values,
            }
            for round_, values in zip(protocol.rounds, folds, strict=True)
        ],
        records={"train": protocol.train.about, "test": None if test is protocol.train else test.about},
        split=protocol.split,
        by=by_subgroup(predictions, columns, resamples=resamples),
        notes=protocol.notes,
        versions=_versions(),
        weights_sha256=setup.sha256,
        predictions=predictions,
    )


def _over(folds: list[dict[str, float]], name: str, reduce: Callable[[list[float]], Any]) -> float:
    values = [fold[name] for fold in folds if not math.isnan(fold[name])]
    return float(reduce(values)) if values else float("nan")


def _versions() -> dict[str, str]:
    return {
        "dermssl": dermssl.__version__,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "scikit-learn": sklearn.__version__,
    }
