"""``--compile``: the network that is trained, as one program made for its shapes by torch.compile."""

import logging
import os
import shutil
from typing import Any

import torch

from dermssl.errors import DermsslError

LOGGER = logging.getLogger("dermssl")


def compile_network(task: Any, compile: str, device: torch.device) -> bool:
    """Compile what a task trains, in place: its state keeps its names. The work is done in the first step.

    Args:
        task: one of ``dermssl.methods``, before it is wrapped for several processes.
        compile: ``"yes"``, ``"no"`` or ``"auto"``: on CUDA, where there is a C++ compiler.
        device: of the task.

    Returns:
        Whether it is compiled.

    Raises:
        DermsslError: it is asked for, and there is no C++ compiler.
    """
    if compile == "no" or (compile == "auto" and device.type != "cuda"):
        return False
    compilers = (os.environ.get("CXX"), "g++", "clang++", "c++")
    if not any(name and shutil.which(name) for name in compilers):
        if compile == "yes":
            raise DermsslError("--compile yes: there is no C++ compiler (g++ or clang++); install one, or leave it out")
        LOGGER.info("the network is not compiled: there is no C++ compiler")
        return False
    task.compile(dynamic=False)
    LOGGER.info("the network is compiled in the first step, which takes a minute or two")
    return True
