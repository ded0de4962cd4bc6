"""Building a network that a file asks for: never a larger one than the weights that came with it."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from torch.nn.modules import module as torch_module

from dermssl.errors import DermsslError

# timm makes and drops a few parts while it builds, and the classifier; a deep network adds none to that.
_FACTOR, _SPARE = 2, 500


@contextlib.contextmanager
def at_most(tensors: int, refusal: str) -> Iterator[None]:
    """Stop what builds a network in this thread as soon as it has clearly more tensors than its weights.

    A depth of a million costs gigabytes even on the meta device, where a tensor has no values but every layer is a
    Python object.

    Args:
        tensors: how many the weights are.
        refusal: text of the error.

    Raises:
        DermsslError: the network is larger.
    """
    most, thread, count = _FACTOR * tensors + _SPARE, threading.get_ident(), 0

    def counted(module: Any, name: str, value: Any) -> None:
        nonlocal count
        if value is not None and threading.get_ident() == thread:
            count += 1
            if count > most:
                raise DermsslError(refusal)

    hooks = (
        torch_module.register_module_parameter_registration_hook(counted),
        torch_module.register_module_buffer_registration_hook(counted),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
