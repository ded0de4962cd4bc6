"""The operations of torch that wait for a GPU, or copy to it from the host, where tensors are on one."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# What waits for a device, or copies from the host, if the tensors are on one.
WAITING = {
    torch.ops.aten._local_scalar_dense.default,  # .item(), bool(), float()
    torch.ops.aten.nonzero.default,
    torch.ops.aten.lift_fresh.default,  # torch.tensor(...), new_tensor(...): a constant of the host
    torch.ops.aten.masked_select.default,
    torch.ops.aten.unique_consecutive.default,
    torch.ops.aten._unique2.default,
    torch.ops.aten.is_nonzero.default,
    torch.ops.aten.equal.default,
}


class Waits(TorchDispatchMode):
    """Lists the calls in its body that would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in WAITING:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))
