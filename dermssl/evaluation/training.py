"""Training one network on labelled images, and asking it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from timm.optim import create_optimizer_v2, get_optimizer_info
from torch import Tensor, nn

from dermssl.backbones.facts import normalisation
from dermssl.data.augment import draw_parameters, known_aspects
from dermssl.data.render import Renderer
from dermssl.devices import autocast, exact_float32, fused_step, out_of_memory_named, tuned_for_fixed_shapes
from dermssl.errors import DermsslError
from dermssl.evaluation.features import Answers, cut, read_batches, to_input
from dermssl.evaluation.recipes import Recipe

# Steps between two looks at the loss: each look makes the CPU wait for the GPU.
LOOK_EVERY = 10


@dataclass(frozen=True)
class Machine:
    """Where and in which precision."""

    device: torch.device
    dtype: torch.dtype


def steps_of(recipe: Recipe, images: int, epochs: int | None) -> tuple[int, int]:
    """(epochs, steps per epoch) for so many training images; ``epochs`` overrules the recipe."""
    steps = max(1, math.ceil(images / recipe.batch_size))
    if epochs is None:
        epochs = max(recipe.epochs, math.ceil(recipe.least_steps / steps))
    return epochs, steps


def train_network(
    model: nn.Module,
    images: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    *,
    image_size: int,
    epochs: int | None,
    machine: Machine,
    seed: int,
    on_step: Callable[[int, float], None],
    aspects: np.ndarray | None = None,
) -> None:
    """Train all of ``model``, a timm model with a classifier, in place, on the device.

    Args:
        images: (P, S, S, 3) uint8.
        rows: (N,) the training images.
        labels: (N,) index of their classes.
        on_step: called now and then with the number of steps made and the loss.
        aspects: (P,) width / height of the photographs that the images hold, whose views are cropped in that geometry;
            default: they are square.

    Raises:
        DermsslError: the loss is no longer finite, or memory ran out.
    """
    device = machine.device
    epochs, steps = steps_of(recipe, len(rows), epochs)
    mean, std = normalisation(model)
    model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _factor(recipe, epochs * steps))
    generator = torch.Generator(device).manual_seed(seed)
    render = Renderer(image_size, mean, std, torch.device(device))
    order = np.random.default_rng(seed)
    target = torch.from_numpy(labels).to(device)
    known = known_aspects(None if aspects is None else aspects[rows], device)
    # fp16 keeps small gradients only if they are scaled up; otherwise this does nothing
    scaler = torch.amp.GradScaler(device.type, enabled=machine.dtype == torch.float16)

    def update(batch: Tensor, index: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)  # before the forward pass, which can have their memory
        pixels = batch.permute(0, 3, 1, 2).float()
        shapes = None if known is None else known[index]
        view = draw_parameters(len(batch), recipe.policy, generator, rotate=recipe.turns, aspects=shapes)
        inputs = render(pixels, view).contiguous(memory_format=torch.channels_last)
        with autocast(device, machine.dtype):
            logits = model(inputs)
        loss = F.cross_entropy(logits.float(), target[index])
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        return loss.detach()

    step = 0
    with (
        out_of_memory_named(device, min(recipe.batch_size, len(rows)), image_size, batch_option=False),
        exact_float32(device, machine.dtype),
        tuned_for_fixed_shapes(),
    ):
        for _ in range(epochs):
            # batches of nearly the same size: BatchNorm must not see a last one of a single image
            shuffled = order.permutation(len(rows))
            batches = np.array_split(shuffled, steps)
            indices = torch.from_numpy(shuffled).to(device).tensor_split(steps)  # the same parts, once for all steps
            for index, batch in zip(indices, read_batches(images, [rows[b] for b in batches], device), strict=True):
                loss = update(batch, index)
                step += 1
                if step % LOOK_EVERY == 0 or step == epochs * steps:
                    on_step(step, _finite(loss, recipe))


@torch.no_grad()
def predict(
    model: nn.Module,
    images: np.ndarray,
    rows: np.ndarray,
    *,
    image_size: int,
    machine: Machine,
) -> np.ndarray:
    """(N, C) float64 probabilities of the whole images, from a model that is on the device."""
    mean, std = normalisation(model)
    model.eval()
    answers = Answers()
    for batch in read_batches(images, cut(rows, 256), machine.device):
        with autocast(machine.device, machine.dtype):
            logits = model(to_input(batch, image_size, mean, std))
        answers.add(logits.double().softmax(dim=1))
    return answers.all()


def train_linear(
    features: Tensor,
    labels: Tensor,
    classes: int,
    recipe: Recipe,
    *,
    epochs: int | None,
    seed: int,
) -> nn.Linear:
    """One linear layer on frozen features (N, D), trained by the recipe's optimizer."""
    epochs, steps = steps_of(recipe, len(features), epochs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(features.shape[1], classes)
    head.to(features.device)
    optimizer = _optimizer(head, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _factor(recipe, epochs * steps))
    order = np.random.default_rng(seed)
    for _ in range(epochs):
        for rows in torch.from_numpy(order.permutation(len(features))).to(features.device).tensor_split(steps):
            loss = F.cross_entropy(head(features[rows]), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        _finite(loss, recipe)
    return head


def _finite(loss: Tensor, recipe: Recipe) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise DermsslError(
            f"the loss became {value}: the learning rate {recipe.lr} is too high for this backbone, or its "
            "weights are broken; try --precision fp32 or another --recipe"
        )
    return value


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Over the parameters of a model that is on its device."""
    device = next(model.parameters()).device
    return create_optimizer_v2(
        model,
        opt=recipe.opt,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        filter_bias_and_bn=True,
        **fused_step(get_optimizer_info(recipe.opt).opt_class, device),
    )


def _factor(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """step -> factor of the learning rate."""
    warm = recipe.warmup * steps

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if recipe.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))

    return factor
