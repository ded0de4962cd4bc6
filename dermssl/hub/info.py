"""What ``dermssl info`` tells: of a set of weights, or of this machine. No network is built of a file's words."""

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, get_token

from dermssl.backbones.described import read_described
from dermssl.backbones.download import download
from dermssl.backbones.facts import feature_width, pretrained_cfg
from dermssl.backbones.load import find_files, is_path, outline
from dermssl.data.prepare import user_folder
from dermssl.devices import hardware_name, resolve_device, resolve_precision
from dermssl.files import sha256_of
from dermssl.hub.exported import is_export, read_files
from dermssl.hub.record import read_run
from dermssl.pretraining.record import RESULTS_FILE
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.privacy import without_password
from dermssl.version import versions


def describe(weights: str) -> dict[str, Any]:
    """Architecture, input, size and, where it is known, origin, results and licence of a set of weights.

    Args:
        weights: every spelling of ``load_backbone``. Of files, the configuration and the list of tensors are read; a
            name of timm's is built without values.

    Raises:
        DermsslError: there are no such weights, or their files are damaged or not of one set.
    """
    if not is_path(weights) and not weights.startswith("hf-hub:"):
        model = outline(weights)
        cfg = pretrained_cfg(model)
        with torch.device("meta"):
            seen = feature_width(model)
        return _told(weights, cfg, sum(p.numel() for p in model.parameters()), seen, None, None)
    config, file = find_files(weights)
    described = read_described(weights, config, file)
    record = _record(weights, config, described.config)
    width = (record or {}).get("feature_width") or described.config.get("num_features")
    cfg = {"architecture": described.config["architecture"], **described.config.get("pretrained_cfg", {})}
    return _told(weights, cfg, described.parameters, width, sha256_of(file), record)


def _told(
    weights: str,
    cfg: dict[str, Any],
    parameters: int,
    width: int | None,
    digest: str | None,
    record: dict[str, Any] | None,
) -> dict[str, Any]:
    return {
        "weights": weights,
        "architecture": cfg.get("architecture"),
        "tag": cfg.get("tag"),
        "parameters": parameters,
        "feature_width": width,
        "input": {key: cfg.get(key) for key in ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")},
        "license": record["license"] if record else cfg.get("license"),
        "sha256": digest,
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
            "images": str(user_folder()),
            "hub": constants.HF_HUB_CACHE,
        },
        "hub": {
            "endpoint": without_password(constants.ENDPOINT),
            "offline": constants.HF_HUB_OFFLINE,
            "token": "set" if get_token() else "not set",
        },
    }


def _record(weights: str, config: Path, content: dict[str, Any]) -> dict[str, Any] | None:
    """What a run or an export tells of its weights; None for those that neither made."""
    if is_path(weights):
        run = RunDirectory.of(weights)
        if run.backbone.is_dir() and run.config.is_file():
            return read_run(run.path)
    if not is_export(content):
        return None
    if not config.is_file():  # the weights file alone: it holds what timm needs
        return None
    results: Path | None = config.parent / RESULTS_FILE
    if weights.startswith("hf-hub:") and "results" not in content["dermssl"]:
        repo, _, revision = weights.removeprefix("hf-hub:").partition("@")
        results = download(repo, RESULTS_FILE, revision or None, weights)
    record: dict[str, Any] = read_files(config, results)["dermssl"]
    return record
