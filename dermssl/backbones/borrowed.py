"""A model in use by somebody who did not make it: afterwards it is as it was."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def borrowed(model: nn.Module, device: torch.device | None = None) -> Iterator[None]:
    """Put ``model`` into eval mode, on ``device`` if one is named; its modes and its device are restored at the end."""
    home = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    try:
        if device is not None:
            model.to(device)
        model.eval()
        yield
    finally:
        model.to(home)
        for module, training in modes.items():
            module.training = training
