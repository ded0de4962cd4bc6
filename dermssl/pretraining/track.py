"""``--track``: each epoch's figures go to a tracker too. One small hook over the epoch's dictionary."""

import contextlib
import hashlib
import importlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dermssl import distributed
from dermssl.errors import DermsslError
from dermssl.pretraining.config import PretrainConfig
from dermssl.pretraining.run_directory import RunDirectory

LOGGER = logging.getLogger("dermssl")

Log = Callable[[dict[str, Any]], None]
Settings = dict[str, Any]
PROJECT = "dermssl"
FOLDER = "tensorboard"  # in the run directory


@contextlib.contextmanager
def tracked(config: PretrainConfig, run: RunDirectory) -> Iterator[Log]:
    """Open the tracker that ``--track`` names, and close it after the body; the main process alone has one.

    Offline modes are the trackers' own: ``WANDB_MODE=offline``; trackio and tensorboard write to this machine.

    Yields:
        a function to call with the figures of each epoch. A tracker that fails later is reported once and left
        out: it must not cost the run.

    Raises:
        DermsslError: it is not installed or cannot be started.
    """
    if config.track is None or not distributed.is_main():
        yield lambda metrics: None
        return
    try:
        log, close = _TRACKERS[config.track](run.path, _settings(config))
    except ImportError as error:
        raise DermsslError(
            f"--track {config.track}: not installed ({error}); pip install 'dermssl[track]', or leave it out"
        ) from error
    except Exception as error:  # each has its own kinds: no login, no network
        raise DermsslError(f"--track {config.track}: cannot be started: {error}; leave it out to train") from error
    failed = False

    def safely(metrics: dict[str, Any]) -> None:
        nonlocal failed
        if failed:
            return
        try:
            log({name: value for name, value in metrics.items() if isinstance(value, int | float)})
        except Exception as error:
            failed = True
            LOGGER.warning("--track %s failed and is left out from now on: %s", config.track, error)

    try:
        yield safely
    finally:
        with contextlib.suppress(Exception):
            close()


def _settings(config: PretrainConfig) -> Settings:
    """The options of the run; of paths the last part only, since a tracker may lie elsewhere."""
    return {
        name: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for name, value in vars(config).items()
        if value is not None
    }


def _identity(run: Path) -> str:
    """The same for a run that goes on, another one for another run in its place."""
    started = RunDirectory(run).read_config().get("started", "")
    return hashlib.sha256(f"{run.resolve()} {started}".encode()).hexdigest()[:16]


def _tensorboard(run: Path, settings: Settings) -> tuple[Log, Callable[[], None]]:
    writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(run / FOLDER)

    def log(metrics: dict[str, Any]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, metrics["step"])
        writer.flush()

    return log, writer.close


def _wandb(run: Path, settings: Settings) -> tuple[Log, Callable[[], None]]:
    wandb = importlib.import_module("wandb")
    started = wandb.init(
        project=PROJECT, name=run.name, id=_identity(run), resume="allow", dir=str(run), config=settings
    )
    return lambda metrics: started.log(metrics, step=metrics["step"]), started.finish


def _trackio(run: Path, settings: Settings) -> tuple[Log, Callable[[], None]]:
    trackio = importlib.import_module("trackio")
    trackio.init(project=PROJECT, name=f"{run.name}-{_identity(run)[:6]}", resume="allow", config=settings)
    return lambda metrics: trackio.log(metrics, step=metrics["step"]), trackio.finish


_TRACKERS: dict[str, Callable[[Path, Settings], tuple[Log, Callable[[], None]]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}
