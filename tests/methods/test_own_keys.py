"""Own keys are no negatives: RotInstDisc and MoCo against a plain loop in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

import dermssl
from dermssl.data.synthetic import write_synthetic
from dermssl.methods.moco import MoCo
from dermssl.methods.rotinstdisc import RotInstDisc

METHODS = pytest.mark.parametrize("method", [RotInstDisc, MoCo])


def batch(images: int = 4):
    query, key = torch.randn(2, images, 3, 32, 32)
    return (query, key), torch.zeros(images, dtype=torch.long)


def plain_loss(q, k, keys, owners, index, tau):
    """Equation 3, with the keys of other images alone."""
    total, chance = 0.0, 0.0
    for query, key, own in zip(q.double(), k.double(), index.tolist(), strict=True):
        positive = math.exp(float(query @ key) / tau)
        others = [
            math.exp(float(query @ other) / tau)
            for other, owner in zip(keys.double(), owners, strict=True)
            if owner != own
        ]
        total += -math.log(positive / (positive + sum(others)))
        chance += math.log(1 + len(others))
    return total / len(q), chance / len(q)


@METHODS
def test_the_loss_counts_the_keys_of_other_images(method):
    torch.manual_seed(0)
    task = method("test_resnet", queue_size=12, temperature=0.3, embedding_dim=16).train()
    owners = [0, 3, 3, 5, 0, 9, 1]
    task.queue.enqueue(F.normalize(torch.randn(7, 16), dim=1), torch.tensor(owners))
    negatives = task.queue.keys[:7].clone()
    index = torch.tensor([3, 0, 7, 9])
    views, turns = batch()
    result = task(views, turns, index)
    k = task.queue.keys[7:11]
    expected, chance = plain_loss(result["output"].detach(), k, negatives, owners, index, 0.3)
    assert float(result["loss_instance"]) == pytest.approx(expected, rel=1e-5)
    assert task.chance_loss() == pytest.approx(chance, rel=1e-5)
    assert task.queue.owners[7:11].tolist() == index.tolist()


@METHODS
def test_an_own_key_gets_no_gradient_and_pushes_nothing_away(method):
    """A queue of nothing but the query's own keys: nothing to choose from, loss 0, gradient 0."""
    torch.manual_seed(0)
    options = {"rotation_weight": 0.0} if method is RotInstDisc else {}
    task = method("test_resnet", queue_size=3, embedding_dim=16, **options).train()
    task.queue.enqueue(F.normalize(torch.randn(3, 16), dim=1), torch.tensor([2, 2, 2]))
    result = task(*batch(2), torch.tensor([2, 2]))
    assert float(result["loss_instance"]) == 0
    result["loss"].backward()
    assert not any(p.grad.any() for p in task.trainable_module.instance_head.parameters())


@METHODS
def test_numbers_that_own_no_key_change_no_bit(method):
    results = []
    for index in (None, torch.tensor([10, 11, 12, 13])):
        torch.manual_seed(0)
        task = method("test_resnet", queue_size=8, embedding_dim=16).train()
        task.queue.enqueue(F.normalize(torch.randn(6, 16), dim=1), torch.arange(6))
        results.append(task(*batch(), index))
        results[-1]["loss"].backward()
        results[-1]["grad"] = task.trainable_module.backbone.conv1[0].weight.grad
    assert float(results[0]["loss"].detach()) == float(results[1]["loss"].detach())
    assert torch.equal(results[0]["grad"], results[1]["grad"])


def test_three_hundred_images_need_no_option_for_the_queue(tmp_path, caplog):
    """`dermssl pretrain FOLDER --output RUN`, but for what makes it fast here."""
    caplog.set_level("INFO", "dermssl")
    images = write_synthetic(tmp_path / "images", images=300, size=32, seed=0)
    fast = {"backbone": "test_vit", "image_size": 32, "epochs": 1, "device": "cpu", "workers": 1}
    result = dermssl.pretrain(images, tmp_path / "run", **fast)
    assert math.isfinite(result.history[-1]["loss"])
    assert "--queue-size 256, which fits 300 images and 2 steps" in caplog.text


def test_a_queue_may_be_longer_than_the_set(tmp_path):
    images = write_synthetic(tmp_path / "images", images=40, size=32, seed=0)
    fast = {"backbone": "test_resnet", "image_size": 32, "batch_size": 20, "device": "cpu", "workers": 1}
    result = dermssl.pretrain(images, tmp_path / "run", queue_size=100, epochs=4, **fast)
    # 40 images: of the 100 keys up to 3 are of the query's own image
    task_state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["task_state"]
    assert task_state["queue"]["owners"].bincount(minlength=40).max() <= 3
    assert math.isfinite(result.history[-1]["loss_instance"])
