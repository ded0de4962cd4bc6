"""Nothing in a step waits for a GPU or copies to it, held without one.

Two oracles. `Waits` lists the operations of a real step on the CPU, forward and backward, that would wait where tensors
are on a GPU. Fake CUDA tensors have a device and no data: an operation that mixes them with tensors of the host is an
error, a copy from one to the other is listed, and there is nothing that ``.item()`` could read.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dermssl.backbones.create import create_backbone
from dermssl.data import augment, jigsaw
from dermssl.data.augment import TwoViews
from dermssl.data.jigsaw import JigsawViews
from dermssl.data.policy import ViewPolicy
from dermssl.evaluation import training
from dermssl.evaluation.features import extract_features, pooled, to_input
from dermssl.evaluation.recipes import RECIPES
from dermssl.evaluation.training import LOOK_EVERY, Machine, train_linear, train_network
from dermssl.methods.registry import METHODS
from dermssl.pretraining.config import make_config
from dermssl.pretraining.optimizer import create_optimizer

from .waits import Waits

CUDA = torch.device("cuda", 0)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)


class Copies(TorchDispatchMode):
    """Lists the copies between devices in its body."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        devices = {t.device.type for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)}
        if len(devices) > 1:
            self.seen.append(str(func))
        return result


@pytest.fixture
def on_a_card(monkeypatch) -> Iterator[None]:
    """All tensors are fake ones on a GPU; random numbers are drawn there without a generator."""

    def uniform(*shape: int, generator: Any) -> torch.Tensor:
        return torch.rand(*shape, device=CUDA)

    for module in (augment, jigsaw):
        monkeypatch.setattr(module, "uniform", uniform)
    monkeypatch.setattr(nn.Module, "to", lambda module, *_, **__: module)  # all is there already
    mode = FakeTensorMode()
    mode.__deepcopy__ = lambda memo: mode  # a copied module stays in it
    with mode, CUDA:
        yield


class Generator:
    """A GPU's, of which there is none without a card."""

    device = CUDA


@pytest.mark.parametrize("method", METHODS)
def test_the_forward_pass_of_a_step_stays_on_the_card(on_a_card, method):
    options = {"images": 50} if method == "pirl" else {}
    task = METHODS[method](create_backbone("test_resnet"), device=CUDA, **options)
    kind = JigsawViews if task.views == "jigsaw" else TwoViews
    aspects = np.linspace(0.5, 2, 50, dtype=np.float32)
    views = kind(32, ViewPolicy(), MEAN, STD, Generator(), aspects=aspects)
    images = torch.empty(8, 40, 40, 3, dtype=torch.uint8)
    index = torch.empty(8, dtype=torch.long)
    assert images.device == index.device == CUDA
    with Copies() as copies:
        made, target = views(images, index)
        known = {"index": index} if method in ("rotinstdisc", "moco") else {}
        result = task(made, target, **known)
    assert {view.device for view in made} == {CUDA}
    assert all(result[name].device == CUDA for name in task.logs)
    assert copies.seen == []


def test_the_oracle_sees_what_it_is_for(on_a_card):
    there = torch.empty(4)
    with Copies() as copies:
        there.cpu()
    assert len(copies.seen) == 1
    with pytest.raises(Exception, match="device"):
        there + torch.empty(4, device="cpu")
    with pytest.raises(Exception, match=r"data-dependent|DataDependent|_local_scalar_dense"):
        there[0].item()


@pytest.mark.parametrize("opt", ["sgd", "adamw"])
def test_optimizers_make_their_step_in_one_kernel_on_a_card(on_a_card, opt):
    task = METHODS["moco"](create_backbone("test_resnet"), device=CUDA)
    recipe = dataclasses.replace(RECIPES["default"], opt=opt)
    pretraining = create_optimizer(make_config(opt=opt), task, 0.1, CUDA)
    fine_tuning = training._optimizer(timm.create_model("test_resnet", num_classes=2), recipe)
    for optimizer in (pretraining, fine_tuning):
        assert all(group["fused"] for group in optimizer.param_groups)


def test_features_of_an_evaluation_stay_on_the_card(on_a_card):
    backbone = create_backbone("test_resnet").eval()
    batch = torch.empty(4, 48, 48, 3, dtype=torch.uint8)
    with Copies() as copies, torch.no_grad():
        features = pooled(backbone, to_input(batch, 32, MEAN, STD))
    assert features.device == CUDA
    assert copies.seen == []


def count_waits(work: Any) -> int:
    with Waits() as waits:
        work()
    return len(waits.seen)


def test_feature_extraction_waits_for_no_batch():
    images = np.random.default_rng(0).integers(0, 256, (40, 40, 40, 3), dtype=np.uint8)
    backbone = create_backbone("test_resnet")

    def extract(count: int) -> None:
        extract_features(backbone, images[:count], image_size=32, device="cpu", precision="fp32", batch_size=4)

    extract(4)
    assert count_waits(lambda: extract(40)) == count_waits(lambda: extract(8)) == 0


def test_fine_tuning_waits_when_it_looks_at_the_loss_and_not_else():
    images = np.random.default_rng(0).integers(0, 256, (130, 40, 40, 3), dtype=np.uint8)
    labels, looked = np.arange(130) % 2, []
    model = timm.create_model("test_resnet", num_classes=2)

    def train(epochs: int) -> int:
        looked.clear()
        train_network(
            model,
            images,
            np.arange(130),
            labels,
            RECIPES["paper"],  # of batches of 64
            image_size=32,
            epochs=epochs,
            machine=Machine(torch.device("cpu"), torch.float32),
            seed=0,
            on_step=lambda step, loss: looked.append(step),
        )
        return len(looked)

    train(1)
    counts = {epochs: count_waits(lambda epochs=epochs: train(epochs)) - train(epochs) for epochs in (1, 4)}
    assert looked == [LOOK_EVERY, 12]
    assert counts[4] - counts[1] == 3, "the order of an epoch is sent once; its 3 steps send and read nothing"


def test_a_linear_head_sends_the_order_and_looks_once_an_epoch():
    features, labels = torch.randn(640, 8), torch.arange(640) % 2

    def train(epochs: int) -> None:
        train_linear(features, labels, 2, RECIPES["paper"], epochs=epochs, seed=0)

    train(1)
    assert count_waits(lambda: train(4)) - count_waits(lambda: train(1)) == 2 * 3
