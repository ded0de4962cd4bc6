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
        compile: ``"yes"``, ``"no"`` or ``"auto"``: on CUDA, where it works.
        device: of the task.
        dtype: of autocast, in which the views are made.

    Returns:
        Whether it is compiled.

    Raises:
        DermsslError: it is asked for, and does not work here.
    """
    if compile == "no" or (compile == "auto" and device.type != "cuda"):
        return False
    why = _why_not(device)
    if why is not None:
        if compile == "yes":
            raise DermsslError(f"--compile yes: {why}; mend that, or leave the option out")
        LOGGER.info("nothing is compiled, which makes a step slower: %s", why)
        return False
    task.compile(dynamic=False)
    views.compile(dtype)
    LOGGER.info("networks and views are compiled in the first step, which takes a minute or two")
    return True


def _why_not(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device; None if it can.

    On CUDA much can be missing: Triton (Windows), a C compiler, the headers of Python, a card that Triton knows. There
    something small is compiled to see.
    """
    if device.type == "cpu":
        compilers = (os.environ.get("CXX"), "g++", "clang++", "c++")
        there = any(name and shutil.which(name) for name in compilers)
        return None if there else "there is no C++ compiler (g++ or clang++)"
    try:
        torch.compile(lambda x: x.sin().sum())(torch.ones(8, device=device, requires_grad=True)).backward()
    except Exception as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None
