"""pretrain --init: a run that starts from weights."""

import json

import pytest
import torch

import dermssl
from dermssl import DermsslError
from dermssl.backbones.create import create_backbone
from dermssl.backbones.load import load_backbone
from dermssl.backbones.save import save_backbone
from dermssl.pretraining.build import starting_backbone
from dermssl.pretraining.config import make_config
from dermssl.pretraining.loop import Interrupted

pytestmark = pytest.mark.slow  # runs upon runs


@pytest.fixture
def first(images, tiny, tmp_path):
    """A run of one epoch."""
    return dermssl.pretrain(images, tmp_path / "first", **{**tiny, "epochs": 1}).run


@pytest.mark.parametrize("spelling", ["", "backbone", "backbone/model.safetensors"])
def test_the_first_step_is_made_from_these_weights(first, tiny, spelling):
    start = starting_backbone(make_config(**tiny, init=first / spelling)).state_dict()
    written = load_backbone(first).state_dict()
    assert start.keys() == written.keys()
    assert all(torch.equal(start[name], written[name]) for name in start)
    fresh = starting_backbone(make_config(**tiny)).state_dict()
    assert not torch.equal(start["conv1.0.weight"], fresh["conv1.0.weight"])


def test_a_run_goes_on_from_another_and_says_so(images, tiny, first, tmp_path, monkeypatch, signal_after):
    tiny |= {"init": str(first), "image_size": 40, "epochs": 2}
    unbroken = dermssl.pretrain(images, tmp_path / "unbroken", **tiny)
    before = json.loads((tmp_path / "unbroken" / "config.json").read_text())["before"]
    assert [run["name"] for run in before] == ["first"]
    assert before[0]["settings"]["epochs"] == before[0]["training"]["epochs"] == 1
    assert before[0]["data"]["folder"] == images.name

    signal_after(monkeypatch, 2)
    with pytest.raises(Interrupted):
        dermssl.pretrain(images, tmp_path / "broken", **tiny)
    monkeypatch.undo()
    resumed = dermssl.pretrain(images, tmp_path / "broken", **tiny)
    for name, tensor in unbroken.backbone.state_dict().items():
        assert torch.equal(tensor, resumed.backbone.state_dict()[name]), name

    third = dermssl.pretrain(images, tmp_path / "third", **{**tiny, "init": str(tmp_path / "unbroken" / "backbone")})
    before = json.loads((third.run / "config.json").read_text())["before"]
    assert [run["name"] for run in before] == ["first", "unbroken"]


def test_a_vit_takes_another_size(images, tiny, tmp_path):
    tiny |= {"backbone": "test_vit", "epochs": 1, "image_size": 32}
    dermssl.pretrain(images, tmp_path / "small", **tiny)
    large = dermssl.pretrain(images, tmp_path / "large", **{**tiny, "image_size": 48, "init": str(tmp_path / "small")})
    assert large.backbone.pretrained_cfg["input_size"][-1] == 48


def test_a_network_that_timm_cannot_change_says_for_which_size_its_weights_are(tmp_path):
    model = create_backbone("xcit_nano_12_p8_224", image_size=32)
    save_backbone(model, tmp_path / "small", mean=(0.5,) * 3, std=(0.5,) * 3, image_size=32, provenance={})
    options = {"backbone": "xcit_nano_12_p8_224", "init": str(tmp_path / "small")}
    with pytest.raises(DermsslError, match=r"--image-size 64: the weights of --init .*small are for 32 px, and timm"):
        starting_backbone(make_config(**options, image_size=64))
    assert starting_backbone(make_config(**options)).num_features == model.num_features


def test_other_weights_are_refused_before_anything_is_written(images, tiny, first, tmp_path):
    with pytest.raises(DermsslError, match="these are weights of test_resnet, the backbone is resnet18; use"):
        dermssl.pretrain(images, tmp_path / "run", **{**tiny, "backbone": "resnet18", "init": str(first)})
    with pytest.raises(DermsslError, match="--init: weights 'nowhere': not found"):
        dermssl.pretrain(images, tmp_path / "run", **{**tiny, "init": "nowhere"})
    assert not (tmp_path / "run").exists()
