"""A checkpoint of another program as the two files that timm loads."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermssl.backbones.arguments import CheckpointOptions
from dermssl.backbones.create import create_backbone
from dermssl.backbones.exportable import refuse_unexportable
from dermssl.backbones.facts import normalisation, own_image_size, pretrained_cfg
from dermssl.backbones.foreign import Part, find_backbone, read_checkpoint
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE
from dermssl.backbones.save import save_backbone
from dermssl.documents import read_json
from dermssl.errors import DermsslError
from dermssl.files import cannot_write, sha256_of

LOGGER = logging.getLogger("dermssl")

CONVERTED = "converted"  # key of the record under "dermssl" in config.json


def convert(
    file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    options: CheckpointOptions,
    *,
    license: str | None = None,
) -> Path:
    """Write the backbone in a checkpoint as ``model.safetensors`` and ``config.json``.

    Every tensor is accounted for: all of the architecture's must be there, and what is left out is a head or another
    network of the method, and said.

    Args:
        file: ``.pth``, ``.pth.tar``, ``.pt``, ``.bin``, ``.ckpt`` or ``.safetensors``, as torchvision, timm, MoCo,
            DINO, SimCLR, lightly, solo-learn and Lightning write them. Pickled objects are not loaded.
        folder: new, empty, or an earlier conversion, which is replaced.
        options: the architecture, which is needed; size, mean and deviation (of channels in [0, 1]) are else timm's.
        license: of the weights, as the Hub names it; default: unknown.

    Returns:
        ``folder``.

    Raises:
        DermsslError: the file holds more than tensors, or they are not those of the architecture; the folder holds
            something else or cannot be written; or timm would not load the result.
    """
    file, folder = Path(file), Path(folder)
    if options.backbone is None:
        raise DermsslError(
            f"{file}: nothing in it says which architecture it is; name it with --backbone, e.g. resnet50"
        )
    _claim(folder)
    model = create_backbone(options.backbone, image_size=options.image_size)
    _refuse_channels(mean=options.mean, std=options.std)
    part = find_backbone(read_checkpoint(file), model, str(file))
    model.load_state_dict({**model.state_dict(), **part.tensors})
    model.eval()
    _say(file, part)
    own_mean, own_std = normalisation(model)
    known: dict[str, Any] = {
        "mean": options.mean or own_mean,
        "std": options.std or own_std,
        "image_size": options.image_size or own_image_size(model),
        "fit": "crop",
    }
    refuse_unexportable(model, **known)
    record = {"file": file.name, "sha256": sha256_of(file), "prefix": part.prefix, "license": license}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_backbone(
            model,
            folder,
            **known,
            provenance={CONVERTED: record},
            tag="converted",
            license=license,
            description=f"{pretrained_cfg(model)['architecture']} converted from {file.name} by dermssl",
        )
    except OSError as error:
        raise cannot_write(folder, error) from error
    if license is None:
        LOGGER.warning("the licence of these weights is unknown: name it with --license")
    return folder


def _claim(folder: Path) -> None:
    """Refuse a folder that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise DermsslError(f"{folder} is a file; name a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        schema = {"dermssl": dict}
        config = read_json(folder / CONFIG_FILE, "the configuration of weights", schema, remedy="name another folder")
        earlier = CONVERTED in config["dermssl"]
    except DermsslError:
        earlier = False
    if not earlier or {path.name for path in folder.iterdir()} - {CONFIG_FILE, WEIGHTS_FILE}:
        raise DermsslError(f"{folder} holds something that is not a converted checkpoint; name another folder")


def _refuse_channels(**given: Sequence[float] | None) -> None:
    for name, values in given.items():
        if values is not None and (len(values) != 3 or not all(0 <= value <= 1 for value in values)):
            shown = ",".join(f"{value:g}" for value in values)
            raise DermsslError(f"--{name} {shown}: three numbers from 0 to 1 are needed, for red, green and blue")
        if name == "std" and values is not None and 0 in values:
            raise DermsslError("--std: must be above 0")


def _say(file: Path, part: Part) -> None:
    """What was taken and what was not."""
    below = f" below {part.prefix}" if part.prefix else ""
    heads = sorted({name.split(".")[0] for name in part.dropped})
    others = [f"{name} ({count} tensors)" for name, count in part.others.items()]
    LOGGER.info("%s: %d tensors%s are the backbone's", file.name, len(part.tensors), below)
    if heads:
        LOGGER.info("left out, as a head: %s (%d tensors)", ", ".join(heads), len(part.dropped))
    if others:
        LOGGER.info("left out, as no part of the backbone: %s", ", ".join(others))
