"""A backbone as files that timm loads by one line."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

import dermssl
from dermssl.errors import DermsslError
from dermssl.files import replaced_file, write_text
from dermssl.hub.card import card, check_card
from dermssl.hub.datasets import KNOWN
from dermssl.hub.provenance import provenance, sha256_of
from dermssl.hub.record import EVALUATIONS, PICTURES, read_config, read_run
from dermssl.hub.verify import verify
from dermssl.hub.weights import CONFIG_FILE, METADATA_KEY, WEIGHTS_FILE, load_backbone
from dermssl.methods.backbone import default_image_size, pretrained_cfg

LOGGER = logging.getLogger("dermssl")

CARD_FILE = "README.md"
PROVENANCE_FILE = "PROVENANCE.md"
FILES = (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE, PROVENANCE_FILE)

_DRAFT = ".dermssl-export-"  # a kill leaves its folder behind

# The paper whose method this is; without these fields a user would see the paper of timm's ImageNet weights.
PAPER = (
    "Dermoscopic images classification based on context and instance-level feature of self-supervised learning. "
    "CAAI Transactions on Intelligent Systems, 2023, 18(4): 783-792"
)


def export(
    run: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    license: str | None = None,
    attribution: Sequence[str] = (),
    description: str | None = None,
) -> Path:
    """Write a run's backbone, its card and its provenance; nothing is written unless timm has loaded it.

    Args:
        run: a run directory. Reports of evaluations in its ``evaluations`` folder go into the card.
        folder: new, empty, or an earlier export, whose files are replaced. Its name becomes the model's.
        license: of the weights, as the Hub names it (``cc-by-4.0``); default: that of the images where they are a
            known public set.
        attribution: what the images' licence asks to be said, where they are not a known set.
        description: what the images are, in a sentence of the card: which sets, how they were cut.

    Returns:
        ``folder``.

    Raises:
        DermsslError: there is no finished backbone, a weight is not finite, the folder holds something else or
            cannot be written, or timm does not load exactly these tensors.
    """
    run, folder = Path(run), Path(folder)
    earlier = _claim(run, folder)
    record = read_run(run, license=license, attribution=tuple(attribution), description=description)
    model = load_backbone(run)
    _refuse_nonfinite(run, model)
    cfg = pretrained_cfg(model)
    data = KNOWN.get(str(record["data"]["layout"]))
    try:
        # inside a folder that is there, since it may be a file system of its own, which no file can be renamed into
        beside = folder if folder.is_dir() else folder.parent
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside, prefix=_DRAFT) as temporary:
            draft = Path(temporary)
            save_backbone(
                model,
                draft,
                mean=cfg["mean"],
                std=cfg["std"],
                image_size=cfg["input_size"][-1],
                provenance={**record, "dermssl": dermssl.__version__},
                fit=record["settings"].get("fit") or "squash",
                tag=f"dermssl_{data.tag}" if data else "dermssl",
                license=record["license"],
            )
            for name in record["figures"]:
                shutil.copyfile(run / EVALUATIONS / name, draft / name)
            write_pages(draft, folder.resolve().name)  # "." has no name
            _verify(draft)
            folder.mkdir(exist_ok=True)
            for name in files_of(record):
                os.replace(draft / name, folder / name)
            for name in set(earlier) - set(files_of(record)):
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise DermsslError(f"cannot write {folder}: {error.strerror or error}") from error
    if record["license"] is None:
        LOGGER.warning("the licence of the images is not known: the card says so; name one with --license")
    return folder


def files_of(record: dict[str, Any]) -> tuple[str, ...]:
    """The names of an export's files: those that each has, and the figures of its card.

    Raises:
        DermsslError: a figure's name is a path; whoever wrote that wants another file to be pushed or removed.
    """
    names = tuple(record.get("figures", ()))
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or Path(name).suffix not in PICTURES:
            raise DermsslError(f"{CONFIG_FILE} names a figure {name!r}; it must be a picture beside it")
    return (*FILES, *names)


def write_pages(folder: Path, name: str) -> None:
    """Write the card and the provenance of the export in ``folder``, from its ``config.json``.

    Args:
        name: of the model, with or without ``ORG/``.
    """
    config = read_config((folder / CONFIG_FILE).read_text(encoding="utf-8"), str(folder))
    write_text(folder / CARD_FILE, card(config, name))
    stated = provenance(config, sha256_of(folder / WEIGHTS_FILE), name.rpartition("/")[2])
    write_text(folder / PROVENANCE_FILE, stated)


def save_backbone(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    image_size: int,
    provenance: dict[str, Any],
    fit: str = "squash",
    tag: str = "dermssl",
    license: str | None = None,
) -> None:
    """Write ``model.safetensors`` and ``config.json``, loadable by ``timm.create_model("local-dir:FOLDER")``.

    Args:
        model: made by timm with ``num_classes=0``.
        folder: made if it is not there; each file is replaced whole.
        mean, std: of the three channels, for values in [0, 1].
        image_size: edge in pixels of the images it was trained on.
        provenance: what else is known; written under ``dermssl``, which timm ignores.
        fit: how its training images became square, ``"squash"`` or ``"crop"``: timm's transforms do the same.
        tag: what timm calls this set of weights.
        license: SPDX name of the licence of the weights; None leaves it open.

    Raises:
        DermsslError: the model still has a classifier, takes another image size, or the folder cannot be written.
    """
    folder = Path(folder)
    config = _config(
        model,
        mean=mean,
        std=std,
        image_size=image_size,
        fit=fit,
        tag=tag,
        license=license,
        method=provenance.get("method"),
    )
    text = json.dumps({**config, "dermssl": provenance}, indent=2) + "\n"
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    with replaced_file(folder / WEIGHTS_FILE) as temporary:
        try:
            save_file(tensors, temporary, metadata={"format": "pt", METADATA_KEY: json.dumps(config)})
        except SafetensorError as error:  # how it reports a full disk
            raise DermsslError(f"cannot write {folder / WEIGHTS_FILE}: {error}") from error
        _settle_header(temporary)
    write_text(folder / CONFIG_FILE, text)
    shutil.copymode(folder / CONFIG_FILE, folder / WEIGHTS_FILE)  # safetensors makes files that only their owner reads


def _settle_header(file: Path) -> None:
    """Sort the metadata of a safetensors file in place: its writer takes another order each time.

    The same weights must give the same file, else every push of them is a new commit.
    """
    with open(file, "rb+") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:  # the format allows spaces behind it
            opened.seek(8)
            opened.write(text.ljust(length))


def _claim(run: Path, folder: Path) -> tuple[str, ...]:
    """Refuse what is not a run, and a folder that holds something else. The files of the export that stands there."""
    if not (run / "backbone").is_dir():
        what = "it is an export already" if (run / WEIGHTS_FILE).exists() else "it holds no backbone"
        raise DermsslError(f"{run} is not a run directory with a backbone: {what}")
    if folder.exists() and not folder.is_dir():
        raise DermsslError(f"{folder} is a file; name a folder")
    if folder.is_dir() and not all(path.name.startswith(_DRAFT) for path in folder.iterdir()):
        try:
            config = read_config((folder / CONFIG_FILE).read_text(encoding="utf-8"), str(folder))
            return files_of(config["dermssl"])
        except (OSError, DermsslError) as error:
            raise DermsslError(f"{folder} holds something that is not an export; name another folder") from error
    return ()


def _refuse_nonfinite(run: Path, model: nn.Module) -> None:
    broken = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
    if broken:
        raise DermsslError(f"{run}: {len(broken)} tensors hold NaN or infinity ({broken[0]}, ...); train again")


def _verify(draft: Path) -> None:
    problems = [*verify([draft])[0].problems, *check_card((draft / CARD_FILE).read_text(encoding="utf-8"))]
    if problems:
        raise DermsslError("the export failed its check and was not written: " + "; ".join(problems))


def _config(
    model: nn.Module,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    image_size: int,
    fit: str,
    tag: str,
    license: str | None,
    method: str | None,
) -> dict[str, Any]:
    """Content of ``config.json``: only fields of timm's ``PretrainedCfg``, an unknown one is a TypeError there."""
    own = pretrained_cfg(model)
    arguments = _arguments(model)
    fixed = bool(own.get("fixed_input_size", False)) and not arguments.get("dynamic_img_size", False)
    if getattr(model, "num_classes", 0):
        raise DermsslError(
            f"the backbone has a classifier of {model.num_classes} classes; make it with num_classes=0, "
            "else timm would load it with another number of classes as far as the names fit"
        )
    if fixed and default_image_size(model) != image_size:
        raise DermsslError(f"the backbone takes images of {default_image_size(model)} px only, not {image_size}")
    cfg = {
        "tag": tag,
        "custom_load": False,
        "input_size": [3, image_size, image_size],
        "fixed_input_size": fixed,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash" if fit == "squash" else "center",
        "mean": list(mean),
        "std": list(std),
        "num_classes": 0,
        "pool_size": None,
        "first_conv": own.get("first_conv"),
        "classifier": own.get("classifier"),
        "description": f"{own['architecture']} pretrained without labels on dermoscopy images by dermssl",
    }
    if method == "rotinstdisc":
        cfg["paper_name"] = PAPER
    if license is not None:
        cfg["license"] = license
    config = {
        "architecture": own["architecture"],
        "num_classes": 0,
        "num_features": model.num_features,
        "pretrained_cfg": cfg,
    }
    return {**config, "model_args": arguments} if arguments else config


def _arguments(model: nn.Module) -> dict[str, Any]:
    """What the model was made with beyond its name, such as another pooling: without it timm builds another model.

    Rates of dropout are left out: they are a choice of each training.
    """
    made_with: dict[str, Any] = getattr(model, "_model_args", {})
    dropped = ("num_classes", "img_size", "pretrained", "drop_rate", "drop_path_rate", "drop_block_rate")
    arguments = {key: value for key, value in made_with.items() if not key.endswith(dropped)}
    if made_with.get("dynamic_img_size") and "img_size" in made_with:
        arguments["img_size"] = made_with["img_size"]  # size of the position embeddings; else it is input_size
    return arguments
