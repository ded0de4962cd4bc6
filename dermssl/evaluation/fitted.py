"""The fitted model: a timm model with a classifier, and the folder that timm loads it from."""

import copy
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from timm.models import save_for_hf
from torch import nn

from dermssl.data.decode import Fit
from dermssl.errors import DermsslError
from dermssl.evaluation.frozen import LinearHead
from dermssl.files import refuse_unwritable_folder


def with_classifier(backbone: Any, classes: int, *, seed: int) -> Any:
    """A copy of a timm model, on the CPU, with a new classifier; the global random state is kept."""
    model = copy.deepcopy(backbone).cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.reset_classifier(classes)
    return model


def with_head(backbone: Any, head: LinearHead) -> Any:
    """A copy of a timm model, on the CPU, with a classifier that was trained on its frozen features.

    Raises:
        DermsslError: the architecture's classifier is not one linear layer.
    """
    model = with_classifier(backbone, len(head.bias), seed=0)
    layer = model.get_classifier()
    if not isinstance(layer, nn.Linear) or layer.weight.shape != head.weight.shape:
        raise DermsslError(
            f"--output: the classifier of {type(model).__name__} is not one linear layer, so a head trained "
            f"on frozen "
            "features cannot be put into it; leave out --output, or --freeze"
        )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))
    return model


def save_fitted(
    model: Any,
    folder: str | Path,
    classes: tuple[str, ...],
    *,
    image_size: int,
    about: dict[str, Any],
    fit: Fit = "squash",
) -> None:
    """Write a folder for ``timm.create_model("local-dir:FOLDER", pretrained=True)``, whole or not at all.

    Args:
        model: a timm model with a classifier of ``len(classes)`` outputs.
        folder: new, or empty.
        classes: written as ``label_names``.
        image_size: edge in pixels of the images it was trained on.
        about: what the model was made from; goes into the ``dermssl`` block, which timm ignores.
        fit: how its training images became square, ``"squash"`` or ``"crop"``: timm's transforms do the same.
    """
    folder = Path(folder)
    check_output(folder)
    # safetensors refuses the strides of channels_last
    model = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
    fixed = bool(model.pretrained_cfg.get("fixed_input_size"))
    config = {
        "label_names": list(classes),
        "pretrained_cfg": {
            "tag": "dermssl_finetuned",
            "input_size": [3, image_size, image_size],
            "crop_pct": 1.0,  # nothing more is cut off, as in the evaluation
            "crop_mode": "squash" if fit == "squash" else "center",
            "interpolation": "bilinear",
            "license": "other",
        },
        "dermssl": about,
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            whole = Path(temporary) / "model"
            arguments = {"img_size": image_size} if fixed else None
            save_for_hf(model, str(whole), config, model_args=arguments, safe_serialization=True)
            os.replace(whole, folder)
    except OSError as error:
        raise DermsslError(f"cannot write {folder}: {error.strerror or error}") from error


def check_output(folder: str | Path) -> None:
    """Raises DermsslError unless ``folder`` is free: an empty folder, or not there and can be made."""
    refuse_unwritable_folder(folder, "--output")
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise DermsslError(f"--output {folder}: is there already and not an empty folder; name another one")
