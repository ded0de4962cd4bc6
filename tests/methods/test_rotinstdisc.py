"""RotInstDisc as a whole, around many backbones."""

import math

import pytest
import torch
import torch.nn.functional as F
from timm.task import TrainingTask

from dermssl import DermsslError, RotInstDisc
from dermssl.methods.losses import info_nce, rotation_loss


def batch(size: int = 64, images: int = 4, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, images, 3, size, size, generator=generator)
    return (query, key), torch.randint(4, (images,), generator=generator)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        ("resnet50", 64),
        ("convnext_atto", 64),
        ("vit_tiny_patch16_224", 224),
        ("mobilenetv3_small_050", 64),
        ("efficientnet_b0", 64),
        pytest.param("vgg11_bn", 32, marks=pytest.mark.slow),
        ("ghostnet_100", 64),
    ],
)
def test_any_backbone_runs_forward_and_backward(name, size):
    task = RotInstDisc(name, queue_size=16).train()
    views, turns = batch(size, images=3)
    result = task(views, turns)
    result["loss"].backward()
    assert math.isfinite(float(result["loss"]))
    assert result["output"].shape == (3, 128)
    unused = [n for n, p in task.trainable_module.named_parameters() if p.grad is None]
    assert unused == []


def test_it_is_a_timm_task_and_a_backbone_may_be_passed():
    import timm

    model = timm.create_model("resnet18", num_classes=0)
    task = RotInstDisc(model, queue_size=8)
    assert isinstance(task, TrainingTask)
    assert task.backbone is model


def test_the_loss_is_equation_5_of_its_parts():
    task = RotInstDisc("resnet18", queue_size=8, rotation_weight=0.3, temperature=0.5, momentum=0.9).train()
    task.queue.enqueue(F.normalize(torch.randn(5, 128), dim=1))
    views, turns = batch()
    negatives, valid = task.queue.keys.clone(), task.queue.valid()
    result = task(views, turns)
    keys = task.queue.keys[torch.arange(5, 9) % 8]  # just enqueued, across the end
    expected_instance = info_nce(result["output"].double(), keys.double(), negatives.double(), valid, 0.5)
    torch.testing.assert_close(result["loss_instance"].double(), expected_instance.detach(), rtol=1e-5, atol=0)
    # recomputed with the batch statistics of the same images
    outputs = task.trainable_module(views[0])[1]
    expected_rotation = rotation_loss(outputs, turns)
    torch.testing.assert_close(result["loss_rotation"], expected_rotation.detach(), rtol=1e-4, atol=0)
    total = 0.3 * result["loss_rotation"] + result["loss_instance"]
    torch.testing.assert_close(result["loss"].detach(), total)
    accuracy = (outputs.argmax(1) == turns).float().mean()
    assert float(result["rotation_accuracy"]) == float(accuracy)


def test_momentum_moves_before_the_keys_and_only_in_training():
    task = RotInstDisc("resnet18", queue_size=8, momentum=0.0)
    with torch.no_grad():
        task.trainable_module.instance_head[0].weight.add_(1.0)
    views, turns = batch()
    task.eval()(views, turns)
    weight_k = task.key_encoder.encoder.instance_head[0].weight
    assert not torch.equal(weight_k, task.trainable_module.instance_head[0].weight)
    assert int(task.queue.filled) == 0
    task.train()(views, turns)
    assert torch.equal(weight_k, task.trainable_module.instance_head[0].weight)
    assert int(task.queue.filled) == 4


def test_only_the_query_encoder_learns():
    task = RotInstDisc("resnet18", queue_size=8).train()
    views, turns = batch()
    task(views, turns)["loss"].backward()
    assert all(p.grad is None for p in task.key_encoder.parameters())
    trainable = {id(p) for p in task.trainable_module.parameters()}
    assert {id(p) for p in task.parameters() if p.requires_grad} == trainable


def test_state_goes_through_a_checkpoint():
    views, turns = batch()
    task = RotInstDisc("resnet18", queue_size=8).train()
    task(views, turns)
    state = task.get_checkpoint_state()
    other = RotInstDisc("resnet18", queue_size=8).train()
    other.load_checkpoint_state(state["state_dict"], state["task_state"])
    for name, tensor in task.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    a, b = task(views, turns), other(views, turns)
    assert float(a["loss"].detach()) == float(b["loss"].detach())


def test_a_few_steps_lower_the_loss():
    torch.manual_seed(0)
    task = RotInstDisc("resnet18", queue_size=32, rotation_weight=1.0).train()
    optimizer = torch.optim.SGD(task.trainable_module.parameters(), lr=0.05, momentum=0.9)
    views, turns = batch(32, images=16)
    task.queue.enqueue(F.normalize(torch.randn(32, 128), dim=1))
    losses = []
    for _ in range(8):
        task.queue.enqueue(F.normalize(torch.randn(32, 128), dim=1))
        result = task(views, turns)
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
        losses.append(float(result["loss"].detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_bf16_losses_are_near_those_of_float32():
    task = RotInstDisc("resnet18", queue_size=16)
    task.queue.enqueue(F.normalize(torch.randn(16, 128), dim=1))
    views, turns = batch()
    plain = task.eval()(views, turns)
    with torch.autocast("cpu", torch.bfloat16):
        fast = task(views, turns)
    assert fast["loss"].dtype == torch.float32
    torch.testing.assert_close(fast["loss"], plain["loss"], rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet81"}, "resnet18"),
        ({"queue_size": 0}, "--queue-size 0: must be "),
        ({"temperature": 0.0}, "--temperature 0: must be "),
        ({"momentum": 1.0}, "--momentum 1: must be "),
        ({"rotation_weight": -1.0}, "--rotation-weight -1: must be "),
        ({"rotation_activation": "relu"}, "sigmoid, none"),
        ({"key_norm": "layer"}, "batch, ema, shuffle"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(DermsslError, match=message):
        RotInstDisc(**{"queue_size": 8, **options})
