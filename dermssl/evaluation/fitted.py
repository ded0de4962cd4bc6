"""The fitted model: a timm model with a classifier, and the folder that timm loads it from."""

import copy
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from timm.models import save_for_hf
from torch import nn

from dermssl.backbones.facts import INTERPOLATION, Framing, crop_mode
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE
from dermssl.backbones.save import bytes_of, told_by_the_disk
from dermssl.documents import read_json
from dermssl.errors import DermsslError
from dermssl.evaluation.frozen import LinearHead
from dermssl.files import new_folder, refuse_unwritable_folder, size_in_words

SPARE = 1_000_000  # bytes beside the tensors: the classifier, the configuration


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
    layer = _linear_layer(model, head.weight.shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight).view_as(layer.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))
    return model


def refuse_other_classifier(backbone: Any) -> None:
    """Say before the work that no head can be put into a timm model.

    Raises:
        DermsslError: the architecture's classifier is not one linear layer.
    """
    _linear_layer(with_classifier(backbone, 2, seed=0))


def _linear_layer(model: Any, width: int | None = None) -> Any:
    """The classifier of a model, on ``width`` features: a linear layer, which some architectures write as 1 x 1
    convolution.
    """
    layer = model.get_classifier()
    pointwise = isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1
    if (
        not (isinstance(layer, nn.Linear) or pointwise)
        or layer.bias is None
        or width not in (None, layer.weight.shape[1])
    ):
        raise DermsslError(
            f"--output: the classifier of {type(model).__name__} is not one linear layer, so a head trained on frozen "
            "features cannot be put into it; leave out --output, or --freeze"
        )
    return layer


def save_fitted(
    model: Any,
    folder: str | Path,
    classes: tuple[str, ...],
    *,
    image_size: int,
    about: dict[str, Any],
    fit: Framing = "squash",
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
    # safetensors refuses the strides of channels_last
    model = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
    config = {
        "label_names": list(classes),
        "pretrained_cfg": {
            "tag": "dermssl_finetuned",
            "input_size": [3, image_size, image_size],
            "crop_pct": 1.0,  # nothing more is cut off, as in the evaluation
            "crop_mode": crop_mode(fit),
            "interpolation": INTERPOLATION,
            "license": "other",
        },
        "dermssl": about,
    }
    try:
        with new_folder(folder, bytes_of(model) + SPARE) as draft, told_by_the_disk():
            save_for_hf(model, str(draft), config, safe_serialization=True)
    except DermsslError as error:
        raise DermsslError(f"{error}; {_rescued(model, config)}") from error


def _rescued(model: Any, config: dict[str, Any]) -> str:
    """Write the model to the system's temporary folder, where its own place failed; says where it lies."""
    try:
        whole = Path(tempfile.mkdtemp(prefix="dermssl-fitted-"))
        save_for_hf(model, str(whole), config, safe_serialization=True)
    except (OSError, SafetensorError) as error:
        return f"nor can the fitted model be kept in {tempfile.gettempdir()} ({error})"
    return f"until then the fitted model is kept in {whole}"


def check_room(model: nn.Module, folder: str | Path) -> None:
    """Raises DermsslError if the disk of ``folder`` has no room for the tensors of ``model``: said before the work."""
    folder = Path(folder).absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    needed = bytes_of(model) + SPARE
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DermsslError(
            f"--output {folder}: needs {size_in_words(needed)}, and {size_in_words(free)} are free there; name a "
            "folder on another disk, or free some space"
        )


def spoken_name(name: str) -> str:
    """A WEIGHTS or DATA argument without the folders of this machine: what a model handed on may say of its origin."""
    if name.startswith(("hf-hub:", "timm:", "random:", "module:", "hfds/", "wds/")):
        return name
    return Path(name).name or name


def check_output(folder: str | Path) -> None:
    """Raises DermsslError unless ``folder`` is free: an empty folder, or not there and can be made."""
    refuse_unwritable_folder(folder, "--output")
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise DermsslError(f"--output {folder}: is there already and not an empty folder; name another one")


def made_by(folder: str | Path) -> str | None:
    """The request that the fitted model in ``folder`` was made by, see `request_of`; None where there is none."""
    schema = {"label_names": [str], "dermssl": {"request": str}}
    folder = Path(folder)
    try:
        if not (folder / WEIGHTS_FILE).is_file():
            return None
        config = read_json(folder / CONFIG_FILE, "the configuration of a fitted model", schema, remedy="")
    except DermsslError:
        return None
    return config["dermssl"]["request"]


def request_of(model: nn.Module, options: dict[str, Any], images: Sequence[str]) -> str:
    """sha256 of what a fitted model is made from.

    Args:
        model: that was started from.
        options: of the training.
        images: the content hash of each data set.
    """
    digest = hashlib.sha256(json.dumps([sorted(options.items()), list(images)], default=str).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
