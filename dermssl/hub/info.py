"""What ``dermssl info`` tells: of a set of weights, or of this machine."""

import os
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_token

from dermssl.backbones.download import download
from dermssl.backbones.facts import feature_width, pretrained_cfg
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE, load_backbone, weights_folder
from dermssl.devices import hardware_name, resolve_device, resolve_precision
from dermssl.errors import DermsslError
from dermssl.hub.provenance import sha256_of
from dermssl.hub.record import read_config, read_run
from dermssl.privacy import without_password
from dermssl.version import versions


def describe(weights: str) -> dict[str, Any]:
    """Architecture, input, size and, where it is known, origin, results and licence of a set of weights.

    Args:
        weights: every spelling of ``load_backbone``; all tensors are loaded, so that what is told is true.

    Raises:
        DermsslError: the weights cannot be loaded.
    """
    model = load_backbone(weights)
    cfg = pretrained_cfg(model)
    record = _record(weights)
    file = _file(weights)
    return {
        "weights": weights,
        "architecture": cfg.get("architecture"),
        "tag": cfg.get("tag"),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "feature_width": feature_width(model),
        "input": {key: cfg.get(key) for key in ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")},
        "license": record["license"] if record else cfg.get("license"),
        "sha256": sha256_of(file) if file else None,
        "record": record,
    }


def environment() -> dict[str, Any]:
    """Versions, device and caches of this machine; whether there is a token, never which."""
    device = resolve_device("auto")
    packages = ("torch", "torchvision", "timm", "huggingface_hub", "safetensors", "scikit-learn")
    return {
        "versions": versions(*packages),
        "device": hardware_name(device),
        "precision": str(resolve_precision("auto", device)).removeprefix("torch."),
        "caches": {
            "images": os.environ.get("DERMSSL_CACHE") or str(Path.home() / ".cache" / "dermssl"),
            "hub": constants.HF_HUB_CACHE,
        },
        "hub": {
            "endpoint": without_password(constants.ENDPOINT),
            "offline": constants.HF_HUB_OFFLINE,
            "token": "set" if get_token() else "not set",
        },
    }


def _record(weights: str) -> dict[str, Any] | None:
    """What a run or an export tells of its weights; None for those that neither made."""
    path = Path(weights)
    if path.is_dir() and (path / "backbone").is_dir():
        return read_run(path)
    if weights.startswith("hf-hub:"):
        repo, _, revision = weights.removeprefix("hf-hub:").partition("@")
        config = download(repo, CONFIG_FILE, revision or None, weights)
    else:
        folder = weights_folder(path) or (path.parent if path.is_file() else None)
        if folder is None:  # timm: and random: have none
            return None
        config = folder / CONFIG_FILE
    try:
        return read_config(config.read_text(encoding="utf-8"), weights)["dermssl"] if config.is_file() else None
    except DermsslError:
        return None


def _file(weights: str) -> Path | None:
    folder = weights_folder(weights)
    file = folder / WEIGHTS_FILE if folder else Path(weights)
    return file if file.is_file() else None
