"""The last word on an export: timm itself, in a fresh process that has never heard of dermssl."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermssl.backbones import timm_check
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE, read_fitting
from dermssl.documents import parse_json, read_json
from dermssl.errors import DermsslError

SCRIPT = Path(timm_check.__file__)
_CONFIG: dict[str, Any] = {"architecture": str, "pretrained_cfg": dict}
_ANSWER: dict[str, Any] = {
    "model": str,
    "tensors?": int,
    "features_only?": (bool, None),
    "problems": [str],
}


@dataclass(frozen=True)
class Verdict:
    """What timm made of one set of weights.

    Attributes:
        model: as timm was given it.
        tensors: compared, equal to the bit where there are no problems.
        features_only: whether the architecture gives a pyramid of features.
        problems: sentences; empty when all is well.
    """

    model: str
    tensors: int
    features_only: bool | None
    problems: tuple[str, ...]


def verify(
    folders: Sequence[Path], *, models: Sequence[str] = (), environment: dict[str, str] | None = None
) -> list[Verdict]:
    """Load each export by timm in a fresh process and compare it with its files.

    Args:
        folders: exported directories.
        models: what timm is to load instead of ``local-dir:FOLDER``, one for each folder.
        environment: further variables for the process.

    Raises:
        DermsslError: the process itself failed, or the network that a configuration asks for is not its weights'.
    """
    jobs = []
    for folder, model in zip(folders, models or [f"local-dir:{folder}" for folder in folders], strict=True):
        config = read_json(folder / CONFIG_FILE, "the configuration of weights", _CONFIG, remedy="export them again")
        read_fitting(str(folder), folder / CONFIG_FILE, folder / WEIGHTS_FILE)  # timm would build whatever it asks for
        expected = {**config["pretrained_cfg"], "architecture": config["architecture"]}
        jobs.append({"model": model, "file": str(folder / WEIGHTS_FILE), "config": expected})
    done = subprocess.run(
        [sys.executable, "-P", str(SCRIPT), json.dumps(jobs)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(lines) != len(jobs):
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise DermsslError(f"the check by timm did not finish: {why}; try again, with more memory where that was it")
    answers = [parse_json(line, "the check by timm", "its answer", _ANSWER, remedy="try again") for line in lines]
    return [Verdict(a["model"], a.get("tensors", 0), a.get("features_only"), tuple(a["problems"])) for a in answers]
