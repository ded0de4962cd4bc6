"""Going on with a run: from its newest checkpoint that is whole and its own."""

import logging
import os
from typing import Any

import torch

from dermssl import distributed
from dermssl.errors import DermsslError
from dermssl.pretraining.checkpoint import DamagedCheckpoint, load_checkpoint
from dermssl.pretraining.config import FREE_ON_RESUME, PretrainConfig, differences
from dermssl.pretraining.run_directory import START_OVER, RunDirectory
from dermssl.pretraining.trainer import Trainer

LOGGER = logging.getLogger("dermssl")


def identity_of(config: PretrainConfig, images: str) -> dict[str, Any]:
    """What a checkpoint says of the run it belongs to.

    Args:
        config: of the run; options that may differ when it is resumed are left out.
        images: content hash of the data set.
    """
    return {"config": {name: v for name, v in vars(config).items() if name not in FREE_ON_RESUME}, "images": images}


def resume_from(run: RunDirectory, trainer: Trainer, identity: dict[str, Any], config: PretrainConfig) -> None:
    """Bring the trainer to the run's newest checkpoint, or to the one before where that is damaged, which is said.

    Raises:
        DermsslError: neither can be used, or one is of another run.
    """
    faults: list[DamagedCheckpoint] = []
    for path in (run.checkpoint, run.previous):
        try:
            state = load_checkpoint(path)
            _refuse_another_run(path.name, state, identity, config)
            _load(trainer, path.name, state)
        except DamagedCheckpoint as error:
            faults.append(error)
            continue
        if faults and distributed.is_main():
            _set_aside(run, faults[0])
        return
    told = faults if run.previous.exists() else faults[:1]
    raise DermsslError(f"{'; '.join(map(str, told))}. {START_OVER[0].upper()}{START_OVER[1:]}")


def _refuse_another_run(name: str, state: dict[str, Any], identity: dict[str, Any], config: PretrainConfig) -> None:
    """Raises DermsslError where a checkpoint was copied here from another run; those of 0.1.0 cannot tell."""
    of = state.get("run")
    if of is None:
        return
    try:
        unlike = differences(of["config"], config)
        unlike += ["other images"] if of["images"] != identity["images"] else []
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(f"{name} does not say which run it belongs to") from error
    if unlike:
        raise DermsslError(
            f"{name} belongs to another run: {', '.join(unlike)}; put this run's own back, or start over with "
            "--no-resume"
        )


def _load(trainer: Trainer, name: str, state: dict[str, Any]) -> None:
    try:
        trainer.load_state_dict(state)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # what a state of wrong kinds leads to
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DamagedCheckpoint(f"{name} cannot be used (it does not fit the run: {said})") from error


def _set_aside(run: RunDirectory, fault: DamagedCheckpoint) -> None:
    """Say that the newest checkpoint was not used, and keep it out of the way of the next one."""
    kept = ""
    if os.path.lexists(run.checkpoint):
        aside = run.checkpoint.with_name("checkpoint.damaged.pt")
        os.replace(run.checkpoint, aside)
        kept = f"; it was renamed to {aside.name}"
    LOGGER.warning("%s; continuing from the checkpoint before it%s", fault, kept)
