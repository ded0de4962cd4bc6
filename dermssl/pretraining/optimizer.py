"""The optimizer, its learning rate and its schedule."""

import difflib
import logging
import math
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers
from timm.scheduler import create_scheduler_v2

from dermssl.devices import fused_step
from dermssl.errors import DermsslError
from dermssl.pretraining.config import PretrainConfig

LOGGER = logging.getLogger("dermssl")

# How torch computes a step; a checkpoint of another device must not decide it.
OF_DEVICE = ("fused", "foreach", "capturable")

# Optimizers whose step is as long as the gradient, or a share of the weights'.
LINEAR = ("SGD", "SGDP", "SGDW", "Lars")

# Schedules of timm that need nothing but the number of the step: not plateau, which wants a figure to watch.
SCHEDULES = ("cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant")


def refuse_unknown_names(config: PretrainConfig) -> None:
    """Refuse an optimizer or a schedule that cannot be used here, before an image is read.

    Raises:
        DermsslError: the message names others.
    """
    if config.opt not in list_optimizers():
        close = difflib.get_close_matches(config.opt, map(str, list_optimizers()), n=4)
        hint = f"did you mean {', '.join(close)}?" if close else "timm.optim.list_optimizers() lists all"
        raise DermsslError(f"--opt {config.opt}: timm has no such optimizer; {hint}")
    if get_optimizer_info(config.opt).second_order:
        raise DermsslError(f"--opt {config.opt}: needs second derivatives, which are not computed here; use adamw")
    if config.sched not in SCHEDULES:
        raise DermsslError(f"--sched {config.sched}: unknown; use one of {', '.join(SCHEDULES)}")


def scaled_lr(config: PretrainConfig, batch_size: int) -> float:
    """The learning rate at a batch, from the one that is meant for ``lr_batch`` images.

    Linear for SGD and LARS (Goyal et al. 2017). Adaptive optimizers divide by the size of the gradient, whose noise
    falls by the square root of the batch: so does their rate rise (Malladi et al., NeurIPS 2022).
    """
    ratio = batch_size / config.lr_batch
    kind = getattr(get_optimizer_info(config.opt).opt_class, "__name__", "") if config.opt in list_optimizers() else ""
    linear = kind in LINEAR
    if ratio != 1:
        LOGGER.info(
            "learning rate %g at a batch of %d, from --lr %g at --lr-batch %d: scaled %s",
            config.lr * (ratio if linear else math.sqrt(ratio)),
            batch_size,
            config.lr,
            config.lr_batch,
            "linearly" if linear else f"by the square root, as {config.opt} is adaptive",
        )
    return config.lr * batch_size / config.lr_batch if linear else config.lr * math.sqrt(ratio)


def create_optimizer(config: PretrainConfig, task: Any, lr: float, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer that ``--opt`` names, over what the task trains; none of it decays norms and biases.

    Raises:
        DermsslError: it cannot be used here.
    """
    info = get_optimizer_info(config.opt)
    try:
        return create_optimizer_v2(
            task.get_trainable_module(),
            opt=config.opt,
            lr=lr,
            weight_decay=config.weight_decay,
            momentum=0.9,
            **fused_step(info.opt_class, device),
        )
    except (ImportError, AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise DermsslError(f"--opt {config.opt}: cannot be made: {error or type(error).__name__}") from error


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what ``optimizer.state_dict()`` returned, perhaps on another device.

    Raises:
        DermsslError: it is another optimizer's or another network's; torch would only say so in the next step.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, moments in state["state"].items():
        for name in ("momentum_buffer", "exp_avg", "exp_avg_sq"):
            moment = moments.get(name)
            # a number () is that of a whole layer, as NovoGrad keeps it
            if moment is not None and moment.ndim and moment.shape != parameters[number].shape:
                raise DermsslError(f"{name} of the optimizer has another shape than its parameter")
    for own, group in zip(optimizer.param_groups, state["param_groups"], strict=True):
        for name in own.keys() & group.keys() - {"params", *OF_DEVICE}:
            if not _alike(own[name], group[name]):
                raise DermsslError(f"{name} of the optimizer is {group[name]!r}")
    of_device = [{name: group[name] for name in OF_DEVICE if name in group} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, values in zip(optimizer.param_groups, of_device, strict=True):
        group.update(values)


def _alike(own: Any, other: Any) -> bool:
    return type(own) is type(other) or (isinstance(own, int | float) and isinstance(other, int | float))


def create_scheduler(
    config: PretrainConfig, optimizer: torch.optim.Optimizer, warmup_epochs: float, batches: int
) -> Any:
    """The schedule that ``--sched`` names, stepped by update.

    Raises:
        DermsslError: it does not go with this warm-up.
    """
    try:
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=config.sched,
            num_epochs=config.epochs,
            warmup_epochs=warmup_epochs,  # type: ignore[arg-type]  # only multiplied by updates_per_epoch
            warmup_lr=optimizer.param_groups[0]["lr"] / 100,
            step_on_epochs=False,
            updates_per_epoch=batches,
        )
    except (ValueError, AssertionError) as error:
        raise DermsslError(
            f"--sched {config.sched}: not with --warmup-epochs {warmup_epochs:g} of {config.epochs} ({error}); change "
            "one of the two"
        ) from error
    return scheduler
