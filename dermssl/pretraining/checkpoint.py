"""What is needed to go on with a run as if it had never stopped."""

from pathlib import Path
from typing import Any

import torch

from dermssl.errors import DermsslError
from dermssl.files import replaced_file


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, text, lists and dicts of them) to ``path``, whole or not at all."""
    with replaced_file(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only plain data is unpickled.

    Raises:
        DermsslError: the file is damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise DermsslError(
            f"{path} cannot be read ({type(error).__name__}); it is damaged. "
            "Restore it, or start over with --no-resume (the old run is kept beside the new one)"
        ) from error
