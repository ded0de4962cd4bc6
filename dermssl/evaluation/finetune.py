"""Transfer: a classifier trained on labelled images, on frozen features or with the whole network."""

from pathlib import Path

import torch
from torch import nn

from dermssl.data.cache import Cache
from dermssl.data.decode import Fit
from dermssl.evaluation.fitted import check_output
from dermssl.evaluation.report import Report
from dermssl.evaluation.transfer import Transfer
from dermssl.files import refuse_unwritable


def finetune(
    weights: str | Path | nn.Module,
    data: str | Path | Cache,
    *,
    test: str | Path | Cache | None = None,
    freeze: bool = False,
    recipe: str = "default",
    folds: int = 5,
    split: str = "lesion",
    fraction: float = 1.0,
    epochs: int | None = None,
    image_size: int | None = None,
    predictions: str | Path | None = None,
    output: str | Path | None = None,
    fit: Fit = "squash",
    seed: int = 0,
    device: str | torch.device = "auto",
    precision: str = "auto",
    progress: bool = False,
) -> Report:
    """Train a classifier in every fold and test it on the fold left out.

    Args:
        weights: a run or exported directory, a ``.safetensors`` file, ``hf-hub:org/name``, ``timm:NAME``,
            ``random:NAME``, or a timm model (which is left as it is).
        data: labelled images.
        test: other labelled images; ``data`` as a whole is then for training, and there are no folds.
        freeze: train a linear classifier on the backbone's features, which are computed once.
        recipe: ``"default"``, or ``"paper"`` (SGD, batch 64, learning rate 0.001).
        folds, split, seed: the cross-validation, as in ``evaluate_knn``.
        fraction: share of the training labels, stratified by class; smaller shares are inside larger ones.
        epochs: passes over the training images; default: the recipe's.
        image_size: edge in pixels; default: the one in the weights' configuration.
        predictions: CSV file to write the answers to.
        output: folder for the fitted model, which timm loads with its class names. With folds it is one more
            model, trained on all of ``data``.
        fit: how an image becomes square, ``"squash"`` or ``"crop"``.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto`` (bf16 where the hardware multiplies in it), ``fp32`` or ``bf16``. Frozen features
            are computed in float32 under ``auto``, as in ``evaluate_knn``.
        progress: show progress on standard error.

    Raises:
        DermsslError: the data holds no labels or one class, a test label is unknown to the training data, an
            option is out of range, the training diverges, or ``output`` holds something or cannot be written.
    """
    if predictions is not None:
        refuse_unwritable(predictions, "--predictions")
    if output is not None:
        check_output(output)
    transfer = Transfer.prepare(
        weights,
        data,
        test=test,
        freeze=freeze,
        recipe=recipe,
        folds=folds,
        split=split,
        image_size=image_size,
        fit=fit,
        seed=seed,
        device=device,
        precision=precision,
        progress=progress,
    )
    return transfer.evaluate(fraction=fraction, epochs=epochs, predictions=predictions, output=output)
