"""A backbone as the two files that timm loads: ``model.safetensors`` and ``config.json``."""

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from timm.models import get_pretrained_cfg_value
from torch import nn

from dermssl.backbones.facts import INTERPOLATION, crop_mode, own_image_size, pretrained_cfg
from dermssl.backbones.identity import ID_FIELD, ID_KEY, METADATA_KEY, weights_id
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE
from dermssl.documents import parse_json
from dermssl.errors import DermsslError
from dermssl.files import replaced_file, write_text


def save_backbone(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    provenance: dict[str, Any],
    **described: Any,
) -> None:
    """Write ``model.safetensors`` and ``config.json``, loadable by ``timm.create_model("local-dir:FOLDER")``.

    Args:
        model: made by timm with ``num_classes=0``.
        folder: made if it is not there; each file is replaced whole.
        provenance: what else is known; written under ``dermssl``, which timm ignores, beside an id that the weights
            file has too.
        **described: mean, std, image size and the other arguments of :func:`export_config`.

    Raises:
        DermsslError: the model still has a classifier, takes another image size, or the folder cannot be written.
    """
    folder = Path(folder)
    config = export_config(model, **described)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    identity = weights_id(tensors)
    text = json.dumps({**config, "dermssl": {**provenance, ID_FIELD: identity}}, indent=2) + "\n"
    metadata = {"format": "pt", METADATA_KEY: json.dumps(config), ID_KEY: identity}
    with replaced_file(folder / WEIGHTS_FILE, bytes_of(model)) as temporary:
        with told_by_the_disk():
            save_file(tensors, temporary, metadata=metadata)
        _settle_header(temporary)
    write_text(folder / CONFIG_FILE, text)
    shutil.copymode(folder / CONFIG_FILE, folder / WEIGHTS_FILE)  # safetensors makes files that only their owner reads


def bytes_of(model: nn.Module) -> int:
    """What the tensors of a model take on a disk."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


@contextlib.contextmanager
def told_by_the_disk() -> Iterator[None]:
    """Raise what safetensors could not write as the OSError that it was: it has errors of its own for a full disk."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code) if number else str(error)) from error


def _settle_header(file: Path) -> None:
    """Sort the metadata of a safetensors file in place: its writer takes another order each time.

    The same weights must give the same file, else every push of them is a new commit.
    """
    with open(file, "rb+") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = parse_json(opened.read(length), str(file), "what safetensors wrote", dict, remedy="try again")
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:  # the format allows spaces behind it
            opened.seek(8)
            opened.write(text.ljust(length))


def export_config(
    model: nn.Module,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    image_size: int,
    fit: str = "squash",
    tag: str = "dermssl",
    license: str | None = None,
    paper: str | None = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Content of ``config.json``: only fields of timm's ``PretrainedCfg``, an unknown one is a TypeError there.

    Args:
        model: made by timm with ``num_classes=0``.
        mean, std: of the three channels, for values in [0, 1].
        image_size: edge in pixels of the images it was trained on.
        fit: how its training images became square, ``"squash"`` or ``"crop"``: timm's transforms do the same.
        tag: what timm calls this set of weights.
        license: SPDX name of the licence of the weights; None leaves it open.
        paper: of the method; without it a user of timm would see the paper of its ImageNet weights.
        description: of the weights; default: that they were pretrained by dermssl.

    Raises:
        DermsslError: the model still has a classifier, or takes another image size.
    """
    own = pretrained_cfg(model)
    arguments = _arguments(model, image_size)
    fixed = bool(own.get("fixed_input_size", False)) and not arguments.get("dynamic_img_size", False)
    if getattr(model, "num_classes", 0):
        raise DermsslError(
            f"the backbone has a classifier of {model.num_classes} classes; make it with num_classes=0, "
            "or timm would load it with another number of classes wherever the names match"
        )
    if fixed and own_image_size(model) != image_size:
        raise DermsslError(f"the backbone takes images of {own_image_size(model)} px only, not {image_size}")
    cfg = {
        "tag": tag,
        "custom_load": False,
        "input_size": [3, image_size, image_size],
        "fixed_input_size": fixed,
        "interpolation": INTERPOLATION,
        "crop_pct": 1.0,
        "crop_mode": crop_mode(fit),
        "mean": list(mean),
        "std": list(std),
        "num_classes": 0,
        "pool_size": None,
        "first_conv": own.get("first_conv"),
        "classifier": own.get("classifier"),
        "description": description
        or f"{own['architecture']} pretrained without labels on dermoscopy images by dermssl",
    }
    if paper:
        cfg["paper_name"] = paper
    if license is not None:
        cfg["license"] = license
    config = {
        "architecture": own["architecture"],
        "num_classes": 0,
        "num_features": model.num_features,
        "pretrained_cfg": cfg,
    }
    return {**config, "model_args": arguments} if arguments else config


def _arguments(model: nn.Module, image_size: int) -> dict[str, Any]:
    """What the model was made with beyond its name, such as another pooling: without it timm builds another model.

    Rates of dropout are left out: they are a choice of each training.
    """
    made_with: dict[str, Any] = getattr(model, "_model_args", {})
    dropped = ("num_classes", "img_size", "pretrained", "drop_rate", "drop_path_rate", "drop_block_rate")
    arguments = {key: value for key, value in made_with.items() if not key.endswith(dropped)}
    if "img_size" not in made_with:
        return arguments
    architecture = pretrained_cfg(model)["architecture"]
    if made_with.get("dynamic_img_size"):
        arguments["img_size"] = made_with["img_size"]  # size of the position embeddings; else it is input_size
    elif image_size != (get_pretrained_cfg_value(architecture, "input_size") or (3, 0, 0))[-1]:
        # timm hands input_size on as img_size, but some names (eva02, samvit) insist on a size of their own
        arguments["img_size"] = image_size
    return arguments
