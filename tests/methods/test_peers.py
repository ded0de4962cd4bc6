"""The peers: what they do alike, and the loss of each from its parts."""

import inspect
import math
import re

import pytest
import torch
import torch.nn.functional as F
from timm.task import TrainingTask

from dermssl import DermsslError, RotInstDisc
from dermssl.backbones.create import create_backbone
from dermssl.data.augment import TwoViews
from dermssl.data.jigsaw import JigsawViews
from dermssl.data.policy import ViewPolicy
from dermssl.data.prepare import cached
from dermssl.data.synthetic import write_synthetic
from dermssl.methods.byol import BYOL
from dermssl.methods.losses import cosine_distance, info_nce, nt_xent, rotation_loss
from dermssl.methods.moco import MoCo
from dermssl.methods.pirl import PIRL
from dermssl.methods.registry import METHODS
from dermssl.methods.rotation import Rotation
from dermssl.methods.simclr import SimCLR
from dermssl.options import said_of

PEERS = [name for name in METHODS if name != "rotinstdisc"]
OPTIONS = {"moco": {"queue_size": 16}, "pirl": {"images": 12, "queue_size": 16}, "byol": {"hidden_dim": 64}}


def make(name: str, backbone="test_resnet", seed: int = 0, **options):
    torch.manual_seed(seed)
    return METHODS[name](backbone, **{**OPTIONS.get(name, {}), **options})


def batch(task, size: int = 32, images: int = 4, seed: int = 0):
    """Input and target as the task's view maker would give them, of noise."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, images, 3, size, size, generator=generator)
    if task.views == "jigsaw":
        return (first, torch.randn(9 * images, 3, size, size, generator=generator)), torch.arange(images)
    turns = torch.randint(4, (images,), generator=generator) * task.rotates_query
    return ((first,) if task.views == "one" else (first, second)), turns


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("backbone", ["test_resnet", "convnext_atto", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_any_backbone_runs_forward_and_backward(name, backbone):
    task = make(name, create_backbone(backbone, image_size=32)).train()
    assert isinstance(task, TrainingTask)
    result = task(*batch(task))
    result["loss"].backward()
    assert result["loss"].isfinite()
    assert [n for n, p in task.trainable_module.named_parameters() if p.grad is None] == []
    trained = {id(p) for p in task.get_trainable_module().parameters()}
    assert {id(p) for p in task.parameters() if p.requires_grad} == trained
    assert any(p is next(task.backbone.parameters()) for p in task.trainable_module.parameters())


@pytest.mark.parametrize("name", PEERS)
def test_bf16_losses_are_float32_and_near_those_of_float32(name):
    task = make(name).eval()
    views, target = batch(task)
    plain = task(views, target)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        fast = task(views, target)["loss"]
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast, plain, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("name", PEERS)
def test_state_goes_through_a_checkpoint(name):
    task = make(name).train()
    views, target = batch(task)
    task(views, target)
    state = task.get_checkpoint_state()
    other = make(name, seed=1).train()
    other.load_checkpoint_state(state["state_dict"], state.get("task_state"))
    for key, tensor in task.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key]), key
    torch.manual_seed(0)
    a = task(views, target)
    torch.manual_seed(0)
    b = other(views, target)
    assert float(a["loss"].detach()) == float(b["loss"].detach())


@pytest.mark.parametrize("name", ["moco", "byol", "pirl"])
def test_the_state_of_another_method_is_refused(name):
    task = make(name)
    with pytest.raises(DermsslError, match=f"the checkpoint holds no {task.state_modules[0]}"):
        task.load_task_state(None)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory) -> torch.Tensor:
    """64 synthetic images (64, 40, 40, 3) uint8."""
    folder = write_synthetic(tmp_path_factory.mktemp("synthetic"), images=64, size=40, seed=0)
    return torch.tensor(cached(folder, size=40, workers=1, progress=False).images)


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_a_few_steps_on_the_synthetic_set_lower_the_loss(name, pixels):
    """Four batches of 16 again and again; from the second round on queue and memory are full."""
    task = make(name, **({"queue_size": 32} if name == "moco" else {"images": 64} if name == "pirl" else {})).train()
    generator = torch.Generator().manual_seed(0)
    common = (32, ViewPolicy(), (0.5,) * 3, (0.25,) * 3, generator)
    make_views = JigsawViews(*common) if task.views == "jigsaw" else TwoViews(*common, rotate_query=task.rotates_query)
    indices = torch.arange(64).chunk(4)
    batches = [make_views(pixels[index], index) for index in indices]
    optimizer = torch.optim.AdamW(task.trainable_module.parameters(), lr=1e-3)
    rounds = []
    for _ in range(6):
        total = 0.0
        for views, target in batches:
            loss = task(views, target)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) / 4
        rounds.append(total)
    assert rounds[-1] < 0.9 * rounds[1]


def test_rotation_is_equation_1_of_its_outputs():
    for activation in ("sigmoid", "none"):
        task = make("rotation", rotation_activation=activation).train()
        (view,), turns = batch(task)
        result = task((view,), turns)
        torch.testing.assert_close(result["loss"], rotation_loss(result["output"], turns, activation))
        assert float(result["rotation_accuracy"]) == float((result["output"].argmax(1) == turns).float().mean())
        assert set(result) == {"loss", "rotation_accuracy", "output"}
    assert Rotation.rotates_query
    assert Rotation.views == "one"
    assert task.chance_loss() is None


def test_moco_is_rotinstdisc_without_the_rotation():
    """The same weights, loss and gradients as RotInstDisc's instance loss, on views that are not turned."""
    moco, both = make("moco"), make("rotinstdisc", queue_size=16, rotation_weight=0.0)
    views, none = batch(moco)
    queue = F.normalize(torch.randn(16, 128), dim=1)
    results = []
    for task in (moco.train(), both.train()):
        task.queue.enqueue(queue)
        results.append(task(views, none))
        results[-1]["loss"].backward()
    ours, theirs = results
    assert set(ours) == {"loss", "loss_instance", "output"}
    assert float(ours["loss"].detach()) == float(theirs["loss_instance"])
    for a, b in zip(moco.parameters(), both.parameters(), strict=True):
        assert torch.equal(a, b)
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or torch.equal(a.grad, b.grad)
    for parameter in moco.trainable_module.rotation_head.parameters():
        assert not parameter.grad.any()
    assert issubclass(MoCo, RotInstDisc)
    assert not MoCo.rotates_query
    assert moco.chance_loss() == pytest.approx(math.log(17))


def test_simclr_is_nt_xent_of_one_batch_of_both_views():
    task = make("simclr", temperature=0.3).train()
    (first, second), none = batch(task)
    z = make("simclr").train().trainable_module(torch.cat([first, second]))
    result = task((first, second), none)
    torch.testing.assert_close(result["loss"], nt_xent(z[:4], z[4:], 0.3))
    assert task.chance_loss() == pytest.approx(math.log(7))
    assert not SimCLR.rotates_query


def test_byol_is_both_ways_against_the_momentum_encoder():
    task = make("byol", momentum=0.9).train()
    with torch.no_grad():  # so that the two encoders differ
        task.trainable_module.encoder.head[3].weight.add_(0.1)
    online = task.trainable_module.encoder
    expected_key = {
        k: 0.9 * v + 0.1 * dict(online.named_parameters())[k]
        for k, v in ((k, v.clone()) for k, v in task.key_encoder.encoder.named_parameters())
    }
    (first, second), none = batch(task)
    result = task((first, second), none)
    for key, value in task.key_encoder.encoder.named_parameters():
        torch.testing.assert_close(value, expected_key[key], msg=key)
    # in train mode, batch statistics decide: the same images give the same embeddings again
    p1, p2 = task.trainable_module(first, second)
    z1, z2 = task.key_encoder(first), task.key_encoder(second)
    torch.testing.assert_close(result["loss"], cosine_distance(p1, z2) + cosine_distance(p2, z1))
    assert not z1.requires_grad
    units = F.normalize(z1, dim=1)
    assert float(result["spread"]) == pytest.approx(float((1 - units.mean(0).square().sum()).sqrt()), rel=1e-4)
    assert task.chance_loss() is None


def test_byol_without_a_trained_predictor_is_lightlys():
    lightly_loss = pytest.importorskip("lightly.loss", reason="lightly (extra 'compare') is not installed")
    distance = lightly_loss.NegativeCosineSimilarity()
    task = make("byol").train()
    (first, second), none = batch(task)
    result = task((first, second), none)
    p1, p2 = task.trainable_module(first, second)
    z1, z2 = task.key_encoder(first), task.key_encoder(second)
    torch.testing.assert_close(result["loss"], 4 + 4 * 0.5 * (distance(p1, z2) + distance(p2, z1)))


def test_the_spread_of_collapsed_embeddings_is_zero(monkeypatch):
    task = make("byol")
    monkeypatch.setattr(task.key_encoder, "forward", lambda images: torch.ones(len(images), 256))
    result = task(*batch(task))
    assert float(result["spread"]) == pytest.approx(0, abs=1e-6)


def plain_pirl_loss(embedding, memory, bank, seen, index, tau):
    total = 0.0
    for row, own, i in zip(embedding.tolist(), memory.tolist(), index.tolist(), strict=True):
        positive = math.exp(sum(a * b for a, b in zip(row, own, strict=True)) / tau)
        others = 0.0
        for j, other in enumerate(bank.tolist()):
            if seen[j] and j != i:
                others += math.exp(sum(a * b for a, b in zip(row, other, strict=True)) / tau)
        total += -math.log(positive / (positive + others))
    return total / len(embedding)


def test_pirl_is_equation_5_with_infonce():
    task = make("pirl", images=9, queue_size=100, temperature=0.2, patch_weight=0.3, embedding_dim=16).train()
    task.memory.update(torch.tensor([0, 2, 4, 7]), F.normalize(torch.randn(4, 16), dim=1), 0.5)
    bank, seen = task.memory.embeddings.double(), task.memory.seen.clone()
    views, _ = batch(task)
    index = torch.tensor([4, 1, 8, 0])  # two with a memory, two without
    image, patches = (F.normalize(v.detach(), dim=1) for v in task.trainable_module(*views))
    result = task(views, index)
    memory = torch.stack([bank[4], image[1].double(), image[2].double(), bank[0]])
    of_patches = plain_pirl_loss(patches, memory, bank, seen, index, 0.2)
    of_image = plain_pirl_loss(image, memory, bank, seen, index, 0.2)
    assert float(result["loss_patches"]) == pytest.approx(of_patches, rel=1e-4)
    assert float(result["loss_image"]) == pytest.approx(of_image, rel=1e-4)
    assert float(result["loss"].detach()) == pytest.approx(0.3 * of_patches + 0.7 * of_image, rel=1e-4)
    moved = F.normalize((memory + image.double()) / 2, dim=1)
    torch.testing.assert_close(task.memory.embeddings[index].double(), moved, rtol=1e-4, atol=1e-5)
    assert task.memory.seen.nonzero().flatten().tolist() == [0, 1, 2, 4, 7, 8]
    assert task.chance_loss() == pytest.approx(math.log(6))


def test_pirls_loss_of_equal_embeddings_is_that_of_guessing(monkeypatch):
    task = make("pirl", images=4, queue_size=8).train()
    same = F.normalize(torch.ones(4, 128), dim=1)
    monkeypatch.setattr(task.trainable_module, "forward", lambda images, patches: (same, same))
    views, index = batch(task)
    task(views, index)
    assert float(task(views, index)["loss"]) == pytest.approx(task.chance_loss(), rel=1e-5)
    assert task.chance_loss() == pytest.approx(math.log(4))


def test_pirl_sees_the_order_of_the_patches_and_keeps_its_memory_in_eval():
    task = make("pirl").eval()
    (views, patches), index = batch(task)
    _, embedding = task.trainable_module(views, patches)
    _, turned = task.trainable_module(views, patches.unflatten(0, (4, 9)).flip(1).flatten(0, 1))
    assert not torch.allclose(embedding, turned)
    task((views, patches), index)
    assert not task.memory.seen.any()


def test_info_nce_takes_negatives_by_query():
    q, k, queue = (F.normalize(torch.randn(n, 8, dtype=torch.float64), dim=1) for n in (3, 3, 5))
    valid = torch.tensor([[1, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    rows = [info_nce(q[i : i + 1], k[i : i + 1], queue, valid[i], 0.2) for i in range(3)]
    torch.testing.assert_close(info_nce(q, k, queue, valid, 0.2), torch.stack(rows).mean())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (Rotation, {"rotation_activation": "relu"}, "sigmoid, none"),
        (SimCLR, {"temperature": 0.0}, "--temperature 0: must be "),
        (BYOL, {"momentum": 1.0}, "--momentum 1: must be "),
        (BYOL, {"key_norm": "layer"}, "batch, ema, shuffle"),
        (PIRL, {"images": 1}, "images"),
        (PIRL, {"images": 5, "patch_weight": 1.5}, "--patch-weight 1.5: must be "),
        (PIRL, {"images": 5, "memory_momentum": 1.0}, "--memory-momentum 1: must be "),
        (PIRL, {"images": 5, "queue_size": 0}, "--queue-size 0: must be "),
        (MoCo, {"queue_size": 0}, "--queue-size 0: must be "),
    ],
)
def test_bad_arguments_are_named(method, options, message):
    with pytest.raises(DermsslError, match=message):
        method("test_resnet", **options)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_is_and_what_it_logs(name):
    method = METHODS[name]
    assert method.title
    assert method.summary.strip(".") == method.summary
    assert re.search(r"(19|20)\d\d", method.citation)
    task = make(name).train()
    result = task(*batch(task))
    assert method.logs == tuple(key for key, value in result.items() if value.ndim == 0), "all of them, in order"


@pytest.mark.parametrize("name", METHODS)
def test_every_option_of_a_method_is_explained(name):
    options = said_of(METHODS[name].options())
    assert options.keys() == inspect.signature(METHODS[name]).parameters.keys() - {
        "backbone", "device", "dtype", "verbose"
    }  # fmt: skip
    assert all(said.help for said in options.values())


def test_what_a_method_takes_is_read_from_its_constructor():
    class Own(SimCLR):
        """Something of one's own.

        Args:
            backbone: any.
            sharpness: how much,
                on two lines.
            steps, bins: of it.
            images: N.
        """

        def __init__(
            self, backbone: str = "test_resnet", *, images: int, sharpness: float = 2.0, steps: int | None = None,
            bins: bool = False,
        ) -> None:  # fmt: skip
            super().__init__(backbone)

    options = Own.options(without={"images"})
    assert {name: said.help for name, said in said_of(options).items()} == {
        "sharpness": "how much, on two lines.",
        "steps": "of it.",
        "bins": "of it.",
    }
    assert options() == options(sharpness=2.0, steps=None, bins=False)
    with pytest.raises(DermsslError, match=r"--steps 1\.5: must be a whole number"):
        options(steps=1.5)


@pytest.mark.parametrize("name", ["rotinstdisc", "moco", "byol"])
def test_the_momentum_rises_along_half_a_cosine(name):
    task = make(name, momentum=0.9, momentum_schedule="cosine")
    for progress, expected in ((0.0, 0.9), (0.5, 0.95), (1.0, 1.0)):
        task.begin_step(progress)
        assert task.momentum == pytest.approx(expected)
    constant = make(name, momentum=0.9)
    constant.momentum = 0.5  # may be set anew
    constant.begin_step(0.5)
    assert constant.momentum == 0.5


def plain_shares(first, second, tau, ranks):
    """NT-Xent of each rank's own views among those of all."""
    size = len(first) // ranks
    for r in range(ranks):
        own = slice(r * size, (r + 1) * size)
        yield nt_xent(first[own], second[own], tau, (first, second), before=r * size)


@pytest.mark.parametrize("ranks", [2, 3])
def test_shares_of_nt_xent_average_to_that_of_the_whole_batch(ranks):
    first, second = torch.randn(2, 6, 8, dtype=torch.float64)
    whole = nt_xent(first, second, 0.2)
    torch.testing.assert_close(sum(plain_shares(first, second, 0.2, ranks)) / ranks, whole)
