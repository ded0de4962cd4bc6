"""Which weights a file holds: an id in ``model.safetensors`` and in the ``config.json`` that was written with it.

The two are renamed into place one after the other. A process that is killed in between leaves the weights of one
training under the configuration of another, which nothing else would tell.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dermssl.errors import DermsslError

METADATA_KEY = "timm_config"  # under which a weights file of ours holds its config.json, so that it can be used alone
ID_KEY = "dermssl_id"  # of the file's metadata; files of 0.1.0 have none
ID_FIELD = "id"  # of the ``dermssl`` block of config.json


def weights_id(tensors: Mapping[str, Tensor]) -> str:
    """Hash of the names, types, shapes and values of ``tensors``: the same for the same weights, wherever."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def refuse_mixed(metadata: Mapping[str, str], config: Mapping[str, Any], source: str) -> None:
    """Refuse weights that lie beside the configuration of others.

    Files that somebody else wrote have no id and are taken as they are.

    Args:
        metadata: of the weights file.
        config: content of ``config.json``.
        source: what the error calls the weights.

    Raises:
        DermsslError: both were written here, and not together.
    """
    block = config.get("dermssl")
    if METADATA_KEY in metadata and isinstance(block, dict) and metadata.get(ID_KEY) != block.get(ID_FIELD):
        raise DermsslError(
            f"{source}: model.safetensors and config.json are not of the same weights: whatever wrote them was stopped "
            "in between; give its command again (dermssl export, or dermssl pretrain)"
        )
