"""The methods by the names that ``--method`` takes."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dermssl.methods.task import PretrainingTask


class Methods(UserDict[str, Any]):
    """Classes by name, each imported when it is first asked for: names and ``--help`` do not wait for torch."""

    def __getitem__(self, name: str) -> type[PretrainingTask]:
        method = self.data[name]
        if isinstance(method, str):
            module, _, attribute = method.rpartition(".")
            method = self.data[name] = getattr(import_module(module), attribute)
        return method


METHODS = Methods(
    {
        "rotinstdisc": "dermssl.methods.rotinstdisc.RotInstDisc",
        "moco": "dermssl.methods.moco.MoCo",
        "rotation": "dermssl.methods.rotation.Rotation",
        "simclr": "dermssl.methods.simclr.SimCLR",
        "byol": "dermssl.methods.byol.BYOL",
        "pirl": "dermssl.methods.pirl.PIRL",
    }
)
