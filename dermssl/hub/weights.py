"""The WEIGHTS argument: from its spelling to a timm model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dermssl.errors import DermsslError
from dermssl.methods.backbone import create_backbone, pretrained_cfg

SPELLINGS = (
    "a run directory, an exported directory, a .safetensors file, hf-hub:ORG/NAME[@REVISION], "
    "timm:NAME (weights that timm publishes) or random:NAME"
)


def load_backbone(weights: str | Path, *, seed: int = 0) -> nn.Module:
    """The timm model that ``weights`` names, without classifier (``num_classes=0``), in eval mode on the CPU.

    Args:
        weights: a run directory, an exported directory, a ``.safetensors`` file, ``hf-hub:org/name[@revision]``,
            ``timm:name`` or ``random:name``.
        seed: of the weights of ``random:name``; the global random state is left as it was.

    Raises:
        DermsslError: there are no such weights, or they do not fit the architecture they name.
    """
    spelling = str(weights)
    kind, _, name = spelling.partition(":")
    if kind == "random" and name:
        return create_backbone(name, seed=seed).eval()
    if kind == "timm" and name:
        return _published_by_timm(name)
    if kind == "hf-hub" and name:
        return _from_hub(spelling)
    path = Path(weights)
    if path.suffix == ".safetensors" and path.is_file():
        return _from_folder(path.parent, path)
    if path.is_dir():
        folder = path / "backbone" if (path / "backbone").is_dir() else path
        return _from_folder(folder, folder / "model.safetensors")
    raise DermsslError(f"weights {spelling!r}: not found; give {SPELLINGS}")


def _published_by_timm(name: str) -> nn.Module:
    create_backbone(name.split(".")[0])  # an unknown architecture is told with close names
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).eval()
    except Exception as error:  # the network, the Hub and timm raise many kinds
        raise DermsslError(f"weights timm:{name}: cannot be had ({_first_line(error)}); is there a network?") from error


def _from_hub(spelling: str) -> nn.Module:
    try:
        return timm.create_model(spelling, pretrained=True, num_classes=0).eval()
    except Exception as error:
        raise DermsslError(f"weights {spelling}: cannot be had ({_first_line(error)})") from error


def _from_folder(folder: Path, weights: Path) -> nn.Module:
    config_file = folder / "config.json"
    for file in (config_file, weights):
        if not file.is_file():
            raise DermsslError(f"weights {folder}: {file.name} is missing; give {SPELLINGS}")
    try:
        config: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
        architecture, cfg = config["architecture"], config["pretrained_cfg"]
        tensors = load_file(weights)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DermsslError(f"weights {folder}: cannot be read ({_first_line(error)})") from error
    model = create_backbone(architecture, image_size=cfg["input_size"][-1])
    model.pretrained_cfg = model.default_cfg = {**pretrained_cfg(model), **cfg}
    _load_strictly(model, tensors, weights)
    return model.eval()


def _load_strictly(model: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Load every tensor; a classifier's are left out, anything else that does not fit is an error."""
    classifier = pretrained_cfg(model).get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    kept = {name: t for name, t in tensors.items() if not name.startswith(tuple(f"{head}." for head in heads))}
    own = model.state_dict()
    wrong = [name for name in own if name not in kept or kept[name].shape != own[name].shape]
    extra = [name for name in kept if name not in own]
    if wrong or extra:
        examples, architecture = ", ".join((extra or wrong)[:3]), pretrained_cfg(model)["architecture"]
        raise DermsslError(
            f"weights {source}: {len(own) - len(wrong)} of {len(own)} tensors fit {architecture}, {len(extra)} have other names (such as {examples}). Names must be timm's own, without a prefix"
        )
    model.load_state_dict(kept)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
