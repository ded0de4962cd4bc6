"""``pretrain``: from unlabelled images to a run directory with a pretrained backbone."""

import contextlib
import logging
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermssl import distributed
from dermssl.backbones.exportable import refuse_unexportable
from dermssl.backbones.facts import normalisation
from dermssl.backbones.load import load_backbone
from dermssl.data.cache import Cache, source_size
from dermssl.data.columns import by_columns
from dermssl.data.loader import Loader
from dermssl.data.prepare import cached, evaluated
from dermssl.devices import hardware_name, resolve_device, resolve_precision
from dermssl.errors import DermsslError
from dermssl.malloc import keep_freed_memory
from dermssl.methods.registry import METHODS
from dermssl.options import Fit
from dermssl.pretraining.build import build_trainer, distribute, starting_backbone
from dermssl.pretraining.config import PretrainConfig, differences, make_config
from dermssl.pretraining.decided import Resolved, batch_size, image_size, resolve
from dermssl.pretraining.loop import Loop
from dermssl.pretraining.monitor import OnlineKnn
from dermssl.pretraining.notices import say_inside, say_unused
from dermssl.pretraining.optimizer import refuse_unknown_names
from dermssl.pretraining.record import earlier_runs
from dermssl.pretraining.resume import identity_of, resume_from
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.regular import unfit_name
from dermssl.version import versions

LOGGER = logging.getLogger("dermssl")


@dataclass(frozen=True)
class PretrainResult:
    """What a finished run left.

    Attributes:
        run: the run directory; usable wherever weights are asked for.
        backbone: the pretrained timm model, ``num_classes=0``, in eval mode on the CPU.
        history: one dict per epoch, as in ``metrics.jsonl``.
    """

    run: Path
    backbone: nn.Module
    history: list[dict[str, Any]]


def pretrain(data: str | Path, output: str | Path, *, resume: bool = True, **options: Any) -> PretrainResult:
    """Pretrain a timm backbone on unlabelled images.

    Args:
        data: images, in any layout that dermssl reads; labels are not used.
        output: run directory. If it holds this run, unfinished, the run continues; on the CPU the result is bit for
            bit that of a run that never stopped.
        resume: False starts over; the earlier run is renamed, not deleted.
        **options: the fields of ``dermssl.pretraining.config.PretrainConfig``: ``backbone="resnet18"``,
            ``epochs=200``, ``batch_size``, ``image_size``, ``lr=0.06``, ``rotation_weight=0.1``,
            ``queue_size``, ``temperature=0.2``, ``seed=0``, ... (``dermssl pretrain -h`` lists them all).

    Returns:
        PretrainResult.

    Raises:
        DermsslError: bad input; the message names the option or the file.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
    """
    with distributed.process_group(), contextlib.ExitStack() as held:
        with distributed.agreed():
            config = make_config(**options)
            _refuse_nameless(data, output)
            device = distributed.own_device(resolve_device(config.device))
            _refuse_method(config, device)
            refuse_unknown_names(config)
            dtype = resolve_precision(config.precision, device)
            if device.type == "cpu":
                keep_freed_memory()
            backbone = starting_backbone(config)
            run = RunDirectory(output)
            if distributed.is_main():
                if not run.exists():
                    _refuse_unexportable(config, backbone)
                if run.exists() and not (resume or distributed.restarted()):
                    LOGGER.info("the earlier run was renamed to %s", run.move_aside())
                _claim(run, config)
                held.enter_context(run.locked())
                held.enter_context(run.logged())
        # all devices named: otherwise torch warns where there are several
        held.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
        size = source_size(image_size(config, backbone))
        with distributed.one_per_machine_first():
            cache = cached(data, size=size, fit=config.fit, workers=config.workers)
        resuming = distributed.from_main(run.exists())
        _refuse_unlike(run, cache, device, dtype)
        with distributed.agreed():
            if resuming:
                _refuse_other_images(run, cache)
            chosen = _training_images(cache, config)
            # the default batch is the device's: on another one the run would go on with other steps
            begun = run.read_config().get("resolved", {}) if resuming else {}
            batch = begun.get("batch_size") or batch_size(config, device)
            loader = Loader(chosen.images, batch, seed=config.seed, device=device)
            resolved = resolve(config, loader, backbone, dtype, lr=begun.get("lr"))
            say_unused(config, len(cache.images))
            say_inside(data, output)
            with resolved.out_of_memory_named():
                trainer = build_trainer(config, resolved, backbone, loader, dtype, chosen.aspects)
            knn = _online_knn(config, resolved, cache.fit) if distributed.is_main() else None
            identity = identity_of(config, cache.content_hash)
            if resuming:
                resume_from(run, trainer, identity, config)
                LOGGER.info("resuming at step %d of %d", trainer.step, resolved.steps)
            if distributed.is_main():
                if not resuming:
                    run.write_config(_describe(config, resolved, cache))
                run.forget_after(trainer.epoch)
        with resolved.out_of_memory_named():
            distribute(trainer)
            Loop(run, config, resolved, trainer, identity, knn).train()
    return PretrainResult(run.path, load_backbone(run.path), run.history())


def _refuse_nameless(data: str | Path, output: str | Path) -> None:
    """Refuse what no folder is called, and an empty ``"$VARIABLE"``, which would mean the folder one stands in."""
    for name, value in (("DATA", data), ("--output", output)):
        if not str(value).strip():
            raise DermsslError(f"{name}: must not be empty")
        why = unfit_name(value)
        if why is not None:
            raise DermsslError(f"{name} {str(value)[:60]!r}...: {why}")


def _refuse_method(config: PretrainConfig, device: torch.device) -> None:
    """Refuse a method that does not exist, or not for several processes."""
    if config.method not in METHODS:
        raise DermsslError(f"--method {config.method}: unknown; use one of {', '.join(METHODS)}")
    if distributed.world_size() == 1:
        return
    able = [name for name, method in METHODS.items() if method.spans_processes]
    if config.method not in able:
        raise DermsslError(
            f"--method {config.method} cannot be trained by several processes yet; start it without torchrun, or use "
            f"one of {', '.join(able)}"
        )
    if config.sync_bn and device.type != "cuda":
        raise DermsslError("--sync-bn: torch synchronises BatchNorm between GPUs only, not on the CPU; leave it out")


def _refuse_unexportable(config: PretrainConfig, backbone: nn.Module) -> None:
    """Refuse a backbone whose weights could not be given away after the training."""
    mean, std = normalisation(backbone)
    refuse_unexportable(backbone, mean=mean, std=std, image_size=image_size(config, backbone), fit=config.fit)


def _refuse_unlike(run: RunDirectory, cache: Cache, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse machines that see other images than the main process, compute otherwise or do not reach the run."""
    mine = {"images": cache.content_hash, "--device": device.type, "--precision": str(dtype)}
    theirs = distributed.from_main(mine)
    with distributed.agreed():
        differing = [f"{name} {mine[name]} (there {theirs[name]})" for name in mine if mine[name] != theirs[name]]
        if differing:
            raise DermsslError(
                f"{platform.node()} differs from the machine of process 0: {', '.join(differing)}; all need the same"
            )
        if not run.path.is_dir():
            raise DermsslError(
                f"--output {run.path}: not seen from {platform.node()}; it must be on a file system that all machines "
                "share"
            )


def _claim(run: RunDirectory, config: PretrainConfig) -> None:
    """Make the run directory ready for this run, or say why it cannot be."""
    run.refuse_links()
    if not run.exists():
        run.create()
        return
    differing = differences(run.read_config().get("config", {}), config)
    if differing:
        raise DermsslError(
            f"--output {run.path} holds another run: {', '.join(differing)}. "
            "Name another --output, give the same options to continue it, or start over with --no-resume"
        )


def _training_images(cache: Cache, config: PretrainConfig) -> Cache:
    """All images, or ``limit`` of them drawn at random."""
    if min(config.limit or 2, len(cache.images)) < 2:
        images = "--limit 1" if config.limit == 1 else f"{cache.records.source} holds one image that can be used"
        raise DermsslError(f"{images}: a step takes 2 or more, so give 2 or more images")
    if config.limit is None or config.limit >= len(cache.images):
        return cache
    return cache.select(np.sort(np.random.default_rng(config.seed).permutation(len(cache.images))[: config.limit]))


def _refuse_other_images(run: RunDirectory, cache: Cache) -> None:
    if run.read_config().get("data", {}).get("content_hash") != cache.content_hash:
        raise DermsslError(
            f"--output {run.path} holds a run on other images; name another --output, or start over with --no-resume"
        )


def _describe(config: PretrainConfig, resolved: Resolved, cache: Cache) -> dict[str, Any]:
    """Content of ``config.json``."""
    return {
        "config": asdict(config),
        "resolved": asdict(resolved),
        "data": {
            "source": str(cache.records.source),
            "layout": cache.records.layout,
            "images": len(cache.images),
            "content_hash": cache.content_hash,
            "problems": len(cache.problems),
            "fit": cache.fit,  # a prepared cache has its own, whatever --fit says
        },
        "before": earlier_runs(config.init),
        "versions": versions("torch", "timm"),
        "hardware": hardware_name(torch.device(resolved.device)),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _online_knn(config: PretrainConfig, resolved: Resolved, fit: Fit) -> OnlineKnn | None:
    """The evaluation on ``--eval-data``, opened before training starts so that a mistake in them shows at once.

    Args:
        fit: how the training images became square, and so the weights: a prepared cache has its own.
    """
    if config.eval_data is None:
        return None
    labelled = by_columns(config.eval_data, config.label, config.group)
    cache = evaluated(labelled, image_size=resolved.image_size, fit=fit, workers=config.workers)
    return OnlineKnn(cache, resolved)
