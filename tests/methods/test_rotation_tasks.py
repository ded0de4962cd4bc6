"""How the turn is asked for: the query's, between query and key, or that of a third crop."""

import math

import pytest
import torch
import torch.nn.functional as F

import dermssl
from dermssl import DermsslError, RotInstDisc
from dermssl.data.augment import TwoViews
from dermssl.data.policy import ViewPolicy
from dermssl.data.synthetic import write_synthetic

pytestmark = pytest.mark.slow  # each form of the task is trained

CHANCE = math.log(4)


def plain_loss(outputs: torch.Tensor, turns: torch.Tensor) -> float:
    total = 0.0
    for row, turn in zip(outputs.tolist(), turns.tolist(), strict=True):
        total += math.log(sum(math.exp(f) for f in row)) - row[turn]
    return total / len(outputs)


def make(rotation_task: str, **options) -> RotInstDisc:
    torch.manual_seed(0)
    return RotInstDisc(
        "test_resnet", queue_size=8, rotation_task=rotation_task, rotation_activation="none", **options
    ).train()


def views(count: int = 6):
    generator = torch.Generator().manual_seed(1)
    query, key = torch.randn(2, count, 3, 32, 32, generator=generator)
    turns = torch.randint(4, (count,), generator=generator)
    return query, key, torch.randn(count, 3, 32, 32, generator=generator), turns


def test_relative_reads_the_turn_from_both_views():
    task = make("relative", rotation_weight=0.5)
    query, key, _, turns = views()
    result = task((query, key), turns)
    module, key_module = task.trainable_module, task.key_encoder.encoder
    pairs = torch.cat([module.backbone(query), key_module.backbone(key)], dim=1)
    outputs = module.rotation_head(pairs).double()
    assert float(result["loss_rotation"]) == pytest.approx(plain_loss(outputs, turns), rel=1e-4)
    expected = 0.5 * result["loss_rotation"] + result["loss_instance"]
    torch.testing.assert_close(result["loss"].detach(), expected)
    assert float(result["rotation_accuracy"]) == float((outputs.argmax(1) == turns).float().mean())
    k = F.normalize(key_module.instance_head(key_module.backbone(key)), dim=1)
    torch.testing.assert_close(task.queue.keys[:6], k, rtol=1e-4, atol=1e-5)


def test_relative_sends_no_gradient_into_the_key():
    task = make("relative")
    query, key, _, turns = views()
    task((query, key.requires_grad_()), turns)["loss"].backward()
    assert key.grad is None
    assert all(p.grad is None for p in task.key_encoder.parameters())
    assert all(p.grad is not None for p in task.trainable_module.parameters())


def test_crop_tells_the_turn_of_the_third_view_alone():
    task = make("crop", rotation_weight=0.4)
    query, key, crop, turns = views()
    result = task((query, key, crop), turns)
    module = task.trainable_module
    outputs = module.rotation_head(module.backbone(crop)).double()
    assert float(result["loss_rotation"]) == pytest.approx(plain_loss(outputs, turns), rel=1e-4)
    plain = make("query", rotation_weight=0.0)((query, key), turns)  # the same weights: the same instance loss
    assert float(result["loss_instance"]) == pytest.approx(float(plain["loss_instance"]), abs=1e-6)
    torch.testing.assert_close(result["loss"].detach(), 0.4 * result["loss_rotation"] + result["loss_instance"])


def test_the_task_says_which_views_it_needs():
    for name, wanted, turned in (("query", "two", True), ("relative", "two", True), ("crop", "crop", False)):
        task = make(name)
        assert (task.views, task.rotates_query) == (wanted, turned)
    with pytest.raises(DermsslError, match="query, relative, crop"):
        make("key")


def test_the_maker_of_views_cuts_the_third_one():
    images = torch.randint(256, (64, 40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def maker(**options):
        generator = torch.Generator().manual_seed(0)
        return TwoViews(80, ViewPolicy(), (0.5,) * 3, (0.25,) * 3, generator, **options)

    three, turns = maker(rotate_query=False, with_crop=True)(images)
    two, none = maker(rotate_query=False)(images)
    assert [tuple(view.shape[2:]) for view in three] == [(80, 80), (80, 80), (34, 34)]  # 96 of 224
    assert all(torch.equal(a, b) for a, b in zip(two, three, strict=False)), "the two are drawn as without the third"
    assert not none.any()
    assert sorted(set(turns.tolist())) == [0, 1, 2, 3]
    small, _ = maker(rotate_query=False, with_crop=True, crop_size=80)(images)
    assert small[2].shape[-1] == 80
    # a crop of 5 to 14 % of the area: of a ramp of brightness it sees so much of the range
    ramp = torch.arange(256, dtype=torch.uint8)[None, None, :, None].expand(64, 256, 256, 3)
    policy = ViewPolicy(brightness=0, contrast=0, saturation=0, hue=0, grayscale=0)
    generator = torch.Generator().manual_seed(0)
    one = TwoViews(80, policy, (0.0,) * 3, (1.0,) * 3, generator, rotate_query=False, with_crop=True)
    (_, _, crop), turns = one(ramp)
    upright = crop[turns % 2 == 0]
    width = (upright[:, 0].amax((1, 2)) - upright[:, 0].amin((1, 2))).abs()
    assert math.sqrt(0.05 * 3 / 4) * 0.9 < float(width.min())
    assert float(width.max()) < math.sqrt(0.14 * 4 / 3)


@pytest.mark.parametrize("rotation_task", ["relative", "crop"])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_each_is_trained_by_the_command_s_call(tmp_path, rotation_task, backbone):
    images = write_synthetic(tmp_path / "images", images=40, size=32, seed=0)
    fast = {"backbone": backbone, "image_size": 32, "batch_size": 20, "device": "cpu", "workers": 1, "epochs": 1}
    result = dermssl.pretrain(images, tmp_path / "run", rotation_task=rotation_task, **fast)
    assert abs(result.history[-1]["loss_rotation"] - CHANCE) < 0.5


@pytest.mark.parametrize("rotation_task", ["query", "relative", "crop"])
def test_each_can_be_learned(rotation_task):
    """Turned views of a picture with an up: a bright upper half."""
    torch.manual_seed(0)
    task = make(rotation_task, rotation_weight=1.0)
    optimizer = torch.optim.AdamW(task.trainable_module.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    accuracies = []
    for _ in range(16):
        upright = 0.1 * torch.randn(16, 3, 32, 32, generator=generator)
        upright[:, :, :16] += 1
        turns = torch.randint(4, (16,), generator=generator)
        turned = torch.stack([torch.rot90(one, int(k), (1, 2)) for one, k in zip(upright, turns, strict=True)])
        inputs = (upright, upright, turned) if rotation_task == "crop" else (turned, upright)
        result = task(inputs, turns)
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
        accuracies.append(float(result["rotation_accuracy"]))
    assert sum(accuracies[-3:]) / 3 > 0.8
