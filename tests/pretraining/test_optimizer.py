"""Every optimizer of timm that a run may name goes on from a checkpoint as if it had never stopped."""

import copy

import pytest
import torch
from timm.optim import get_optimizer_info, list_optimizers
from torch import nn

from dermssl.errors import DermsslError
from dermssl.pretraining.config import make_config
from dermssl.pretraining.optimizer import create_optimizer, load_optimizer

# kron searches for its matrices with opt_einsum and takes seconds; the others need a GPU or second derivatives
NAMES = [
    name
    for name in list_optimizers()
    if not name.startswith(("kron", "bnb", "fused")) and not get_optimizer_info(name).second_order
]


class Task:
    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def get_trainable_module(self) -> nn.Module:
        return self.network


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
    for number in numbers:
        images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_from_its_state(name):
    config, device = make_config(opt=name), torch.device("cpu")
    unbroken, stopped = network(), network()
    first = create_optimizer(config, Task(unbroken), 1e-3, device)
    steps(unbroken, first, range(2))
    state, weights = copy.deepcopy(first.state_dict()), copy.deepcopy(unbroken.state_dict())
    steps(unbroken, first, range(2, 4))
    second = create_optimizer(config, Task(stopped), 1e-3, device)
    stopped.load_state_dict(weights)
    load_optimizer(second, state)
    steps(stopped, second, range(2, 4))
    assert all(torch.equal(tensor, stopped.state_dict()[key]) for key, tensor in unbroken.state_dict().items())


def test_the_state_of_another_network_is_refused():
    config, device = make_config(opt="adamw"), torch.device("cpu")
    model = network()
    optimizer = create_optimizer(config, Task(model), 1e-3, device)
    steps(model, optimizer, range(1))
    state = optimizer.state_dict()
    state["state"][0]["exp_avg_sq"] = torch.zeros(7)
    with pytest.raises(DermsslError, match="exp_avg_sq of the optimizer has another shape"):
        load_optimizer(optimizer, state)
