"""``--compile``: networks and views as programs made for their shapes by torch.compile."""

import logging
import os
import shutil
from typing import Any

import torch

from dermssl.data.augment import TwoViews
from dermssl.data.jigsaw import JigsawViews
from dermssl.errors import DermsslError

LOGGER = logging.getLogger("dermssl")


def compile_step(
    task: Any, views: TwoViews | JigsawViews, compile: str, device: torch.device, dtype: torch.dtype
) -> bool:
    """Compile a task's networks and its views, in place: its state keeps its names. The work is done in the first step.

    Args:
        task: one of ``dermssl.methods``, before it is wrapped for several processes.
        views: make its input.
        compile: ``"yes"``, ``"no"`` or ``"auto"``: on CUDA, where there is a C++ compiler.
        device: of the task.
        dtype: of autocast, in which the views are made.

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
        LOGGER.info("nothing is compiled: there is no C++ compiler")
        return False
    task.compile(dynamic=False)
    views.compile(dtype)
    LOGGER.info("networks and views are compiled in the first step, which takes a minute or two")
    return True
