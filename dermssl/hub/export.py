"""A backbone as files that timm loads by one line."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from dermssl.files import replaced_file, write_text
from dermssl.methods.backbone import pretrained_cfg


def save_backbone(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    image_size: int,
    provenance: dict[str, Any],
) -> None:
    """Write ``model.safetensors`` and ``config.json``, loadable by ``timm.create_model("local-dir:FOLDER")``.

    Args:
        model: made by timm with ``num_classes=0``.
        folder: made if it is not there; each file is replaced whole.
        mean, std: of the three channels, for values in [0, 1].
        image_size: edge in pixels of the images it was trained on.
        provenance: what else is known; written under ``dermssl``, which timm ignores.
    """
    folder = Path(folder)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    with replaced_file(folder / "model.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    config = {
        "architecture": pretrained_cfg(model)["architecture"],
        "num_classes": 0,
        "num_features": model.num_features,
        "pretrained_cfg": {
            "tag": "dermssl",
            "custom_load": False,
            "input_size": [3, image_size, image_size],
            "fixed_input_size": bool(pretrained_cfg(model).get("fixed_input_size", False)),
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": list(mean),
            "std": list(std),
            "num_classes": 0,
            "pool_size": None,
            "first_conv": pretrained_cfg(model).get("first_conv"),
            "classifier": pretrained_cfg(model).get("classifier"),
        },
        "dermssl": provenance,
    }
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
