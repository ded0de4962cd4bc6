"""Any timm backbone, or a plain no before the first step: made, trained for a step, exported, loaded again by timm.

One model of each family (a module of ``timm.models``) is tried by ``python -m tests.benchmarks.families``, which takes
a quarter of an hour; here are those of the faults that were found, and, marked slow, the small ones of all families
of which none is among those.
"""

import subprocess
import sys

import pytest
import timm
import torch

import dermssl
from dermssl import DermsslError
from dermssl.backbones.create import create_backbone
from dermssl.backbones.exportable import refuse_unexportable
from dermssl.backbones.facts import normalisation, own_image_size
from dermssl.backbones.load import load_backbone
from dermssl.backbones.save import save_backbone
from dermssl.backbones.sizes import refusal
from dermssl.data.synthetic import write_synthetic
from dermssl.pretraining.build import starting_backbone
from dermssl.pretraining.config import make_config
from tests.benchmarks.families import attempt, families

pytestmark = pytest.mark.slow  # a network of each family is trained

# What each one broke on: names that insist on a size of their own (eva02), a classifier with a norm (levit), a pyramid
# that timm wraps otherwise (pit), two classifiers (deit distilled), a layer behind the pooling (mobilenetv3), windows
# (swin), tokens that are mixed (gmlp).
ODD = {
    "eva": "eva02_tiny_patch14_224",
    "levit": "levit_128s",
    "pit": "pit_ti_224",
    "deit": "deit_tiny_distilled_patch16_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "vision_transformer": "test_vit",
    "convnext": "test_convnext",
    "resnet": "test_resnet",
    "byobnet": "test_byobnet",
    "nfnet": "test_nfnet",
    "maxxvit": "test_coatnet",
    "mambaout": "test_mambaout",
}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD)
def test_it_is_trained_and_given_back(name):
    tried = attempt("", name)
    assert not tried.no
    assert not tried.fault
    assert tried.size == 32


@pytest.mark.parametrize("family", sorted(family for family, name in families().items() if name not in ODD.values()))
def test_one_of_every_family_is_trained_and_given_back_or_refused(family):
    name = families()[family]
    with torch.device("meta"):
        count = sum(p.numel() for p in timm.create_model(name, num_classes=0).parameters())
    if count > 15_000_000:
        pytest.skip(f"{name} has {count:,} parameters: python -m tests.benchmarks.families --only {family}")
    assert not attempt(family, name).fault


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("halonet_h1", 64, r"--image-size 64: halonet_h1 cannot take it .*; sizes that work: .*256"),
        ("test_vit", 41, r"--image-size 41: test_vit cannot take it .*; sizes that work: .*32, 48"),
        ("resnet10t", 4, None),
    ],
)
def test_a_size_is_refused_before_anything_is_read(name, size, message, tmp_path):
    if message is None:
        assert create_backbone(name, image_size=size)
        return
    with pytest.raises(DermsslError, match=message):
        dermssl.pretrain(tmp_path / "nothing", tmp_path / "run", backbone=name, image_size=size, device="cpu")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_size_say_it_themselves(tmp_path):
    model = create_backbone("eva02_tiny_patch14_224", image_size=28)
    assert own_image_size(model) == 28
    mean, std = normalisation(model)
    save_backbone(model, tmp_path, mean=mean, std=std, image_size=28, provenance={})
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=0)
    assert torch.equal(again.pos_embed, model.pos_embed)
    assert own_image_size(load_backbone(tmp_path)) == 28


@pytest.mark.parametrize("broken", ["names", "features", "pyramid", "raises"])
def test_what_timm_would_not_load_is_refused_before_the_first_step(broken, monkeypatch, tmp_path):
    """A timm that loads other weights than were saved, in the ways that it does."""
    images = write_synthetic(tmp_path / "images", images=40, size=32, seed=0)
    create = timm.create_model

    def odd(name, *, pretrained=False, **options):
        model = create(name, pretrained=pretrained, **options)
        if not pretrained:
            return model
        if broken == "raises":
            raise RuntimeError("Error(s) in loading state_dict:\nmore")
        if broken == "features" or (broken == "names" and options.get("num_classes")):
            with torch.no_grad():
                next(model.parameters()).add_(1)
        if broken == "pyramid" and options.get("features_only"):
            with torch.no_grad():
                next(model.parameters()).add_(1)
        return model

    monkeypatch.setattr(timm, "create_model", odd)
    run = {"backbone": "test_resnet", "image_size": 32, "epochs": 1, "batch_size": 4, "device": "cpu"}
    with pytest.raises(
        DermsslError, match="timm could not load what would be trained, so training does not start"
    ) as raised:
        dermssl.pretrain(images, tmp_path / "run", **run)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_the_check_leaves_model_and_random_state_alone():
    model = create_backbone("test_efficientnet", image_size=32).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    refuse_unexportable(model, mean=(0.5,) * 3, std=(0.5,) * 3, image_size=32)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_backbone_that_gives_no_vector_per_image_is_refused(monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **options, global_pool=""))
    with pytest.raises(DermsslError, match=r"--image-size 32: test_resnet cannot take it \(its output is of shape"):
        starting_backbone(make_config(backbone="test_resnet", image_size=32))
    with pytest.raises(DermsslError, match=r"--backbone test_resnet: gives no features of images of 160 px"):
        starting_backbone(make_config(backbone="test_resnet"))


class Two(torch.nn.Module):
    """Gives two outputs in training, as distilled models may."""

    def forward(self, images):
        features = images.mean((2, 3))
        return (features, features) if self.training else features


def test_outputs_that_are_no_tensor_are_refused_in_words():
    model = torch.nn.Sequential(Two(), torch.nn.Identity())
    assert refusal(model, 8) is None
    assert refusal(model, 8, training=True) == "its output is a tuple, not one vector per image"


def test_the_module_has_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.families", "--only", "no such family"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "| family | model |" in done.stdout
