"""What is known of a model: one answer, whoever made it and however it was changed since."""

import pytest
import timm
import torch

from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import feature_width, framing, name_of, normalisation, own_image_size
from dermssl.backbones.sizes import refusal, resolve_image_size
from dermssl.errors import DermsslError


def test_a_transformer_made_for_another_size_says_that_size():
    assert own_image_size(timm.create_model("test_vit", num_classes=0)) == 160
    made = timm.create_model("test_vit", num_classes=0, img_size=32)
    assert own_image_size(made) == 32
    assert resolve_image_size(made, None) == 32
    made.set_input_size(img_size=(64, 64))
    assert own_image_size(made) == 64
    assert resolve_image_size(made, 48, adapt=True) == 48
    assert own_image_size(made) == 48
    assert feature_width(made) == 64


def test_a_size_that_the_model_does_not_take_is_refused_with_sizes_that_work():
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    with pytest.raises(DermsslError, match=r"--image-size 64: this backbone cannot take it .*sizes that work: .*224"):
        resolve_image_size(vit, 64)
    assert vit(torch.zeros(1, 3, 224, 224)).shape == (1, 192)  # it was left as it is
    with pytest.raises(DermsslError, match=r"--image-size 0: must be 1 or more"):
        resolve_image_size(vit, 0)
    with pytest.raises(DermsslError, match="--image-size 9000: must be 1 or more and at most 4,096"):
        resolve_image_size(vit, 9000)


def test_asking_for_a_size_computes_nothing_and_changes_nothing():
    model = create_backbone("test_efficientnet").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert refusal(model, 2048) is None
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_framing_is_that_of_the_weights_and_the_whole_photograph_where_nothing_was_trained():
    model = timm.create_model("test_efficientnet", num_classes=0)
    for mode, fit in (("center", "crop"), ("squash", "squash"), ("border", "squash")):
        model.pretrained_cfg["crop_mode"] = mode
        assert framing(model) == fit
    assert framing(create_backbone("test_efficientnet")) == "squash"


def test_normalisation_and_names_without_a_configuration():
    plain = torch.nn.Linear(1, 1)
    assert normalisation(plain)[0] == (0.485, 0.456, 0.406)
    assert name_of(plain) == "module:Linear"
    assert name_of(create_backbone("test_efficientnet")) == "module:test_efficientnet"
    assert name_of("random:resnet18") == "random:resnet18"


@pytest.mark.slow
def test_a_table_of_positions_that_is_too_short_is_seen_before_it_is_read():
    model = create_backbone("mvitv2_tiny", image_size=32)
    with pytest.raises(DermsslError, match=r"--image-size 64: this backbone cannot take it \(index .* out of bounds"):
        resolve_image_size(model, 64, adapt=True)
    assert resolve_image_size(model, 32, adapt=True) == 32
