"""load_backbone and save_backbone: every spelling, and weights that do not fit."""

import json

import pytest
import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

from dermssl.backbones.create import create_backbone
from dermssl.backbones.load import load_backbone
from dermssl.backbones.save import save_backbone
from dermssl.errors import DermsslError

MEAN, STD = (0.7, 0.5, 0.4), (0.1, 0.2, 0.3)


def save(model, folder, image_size=32, **options):
    save_backbone(model, folder, mean=MEAN, std=STD, image_size=image_size, provenance={"note": 1}, **options)
    return folder


@pytest.fixture(scope="module")
def resnet():
    return create_backbone("resnet18", seed=7)


@pytest.fixture
def folder(resnet, tmp_path):
    return save(resnet, tmp_path / "exported")


def assert_equal(model, other):
    own, wanted = model.state_dict(), other.state_dict()
    assert own.keys() == wanted.keys()
    assert all(torch.equal(own[name], wanted[name]) for name in wanted)


def test_every_spelling_on_disk_gives_the_same_model(resnet, folder, tmp_path):
    run = tmp_path / "run"
    save(resnet, run / "backbone")
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((folder / "model.safetensors").read_bytes())
    for weights in (folder, str(folder), run, folder / "model.safetensors", alone):
        model = load_backbone(weights)
        assert_equal(model, resnet)
        assert not model.training
        assert model.num_classes == 0
        assert tuple(model.pretrained_cfg["mean"]) == MEAN
        assert tuple(model.pretrained_cfg["std"]) == STD
        assert tuple(model.pretrained_cfg["input_size"]) == (3, 32, 32)
        assert model.pretrained_cfg["architecture"] == "resnet18"


def test_timm_loads_what_is_saved(resnet, folder):
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert_equal(model, resnet)
    config = timm.data.resolve_model_data_config(model)
    assert (tuple(config["mean"]), tuple(config["std"]), tuple(config["input_size"])) == (MEAN, STD, (3, 32, 32))
    assert (config["crop_pct"], config["crop_mode"]) == (1.0, "squash")
    assert model.pretrained_cfg["tag"] == "dermssl"
    assert "ImageNet" not in json.dumps(model.pretrained_cfg)


def test_the_same_weights_give_the_same_file(tmp_path):
    model = create_backbone("mobilenetv3_small_050")
    contents = {(save(model, tmp_path) / "model.safetensors").read_bytes() for _ in range(6)}
    assert len(contents) == 1
    with safe_open(tmp_path / "model.safetensors", framework="pt") as opened:
        assert opened.metadata()["format"] == "pt"  # transformers refuses a file that has metadata without it


def test_random_weights_follow_the_seed_and_leave_the_global_state():
    state = torch.get_rng_state()
    first, again, other = (load_backbone("random:resnet10t", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert_equal(first, again)
    assert not torch.equal(first.conv1[0].weight, other.conv1[0].weight)


def test_loading_leaves_the_global_random_state(folder):
    state = torch.get_rng_state()
    load_backbone(folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_vit_is_loaded_at_the_size_it_was_trained_at(tmp_path):
    model = create_backbone("vit_tiny_patch16_224", image_size=48)
    save(model, tmp_path, 48)
    loaded = load_backbone(tmp_path)
    assert_equal(loaded, model)
    assert loaded.patch_embed.img_size == (48, 48)
    assert timm.create_model(f"local-dir:{tmp_path}", pretrained=True, img_size=64, num_classes=7).pos_embed.shape == (
        1,
        17,
        192,
    )
    with pytest.raises(DermsslError, match="48 px only"):
        save(model, tmp_path, 64)


def test_other_arguments_of_the_model_are_kept(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="avg", img_size=32)
    save(model, tmp_path)
    loaded = load_backbone(tmp_path)
    assert_equal(loaded, model)
    assert loaded.global_pool == "avg"


def test_a_classifier_is_refused_on_saving_and_left_out_on_loading(resnet, folder):
    with pytest.raises(DermsslError, match="num_classes=0"):
        save(timm.create_model("resnet10t", num_classes=3), folder)
    tensors = {**resnet.state_dict(), "fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
    save_file(tensors, folder / "model.safetensors")
    assert_equal(load_backbone(folder), resnet)


@pytest.mark.parametrize("name", ["efficientvit_m0", "test_convnext"])
def test_what_timm_saves_of_a_classifier_is_read_without_it(name, tmp_path):
    """One with a norm of its own before the last layer, and one whose norm is the backbone's."""
    model = timm.create_model(name, num_classes=7).eval()
    save_for_hf(model, tmp_path, safe_serialization=True)
    again, images = load_backbone(tmp_path), torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        wanted = model.forward_head(model.forward_features(images), pre_logits=True)
        assert torch.allclose(again(images), wanted, atol=1e-5)
    rewrite(tmp_path, lambda tensors: {**tensors, "neck.weight": torch.zeros(3)})
    with pytest.raises(DermsslError, match="1 have names it does not know"):
        load_backbone(tmp_path)


def rewrite(folder, change):
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file)


def test_prefixed_names_are_refused_with_the_prefix(folder):
    rewrite(folder, lambda tensors: {f"encoder_q.{name}": t for name, t in tensors.items()})
    with pytest.raises(DermsslError, match=r"0 of 120 tensors fit resnet18.*without their prefix 'encoder_q\.'"):
        load_backbone(folder)
    # what timm does with them: seven classes, every weight random, no error
    timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=7)


def test_missing_and_misshapen_tensors_are_refused(folder):
    rewrite(folder, lambda tensors: {name: t for name, t in tensors.items() if name != "conv1.weight"})
    with pytest.raises(DermsslError, match=r"119 of 120 tensors fit resnet18, 1 are missing \(conv1.weight\)"):
        load_backbone(folder)
    rewrite(folder, lambda tensors: {**tensors, "conv1.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(DermsslError, match=r"conv1.weight is \(64, 3, 3, 3\), not \(64, 3, 7, 7\)"):
        load_backbone(folder)


def test_weights_of_another_architecture_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architecture": "resnet34"}))
    with pytest.raises(DermsslError, match="check the architecture"):
        load_backbone(folder)
    (folder / "config.json").write_text(json.dumps({**config, "architecture": "resnet81"}))
    with pytest.raises(DermsslError, match="did you mean resnet"):
        load_backbone(folder)
    (folder / "config.json").write_text(json.dumps({**config, "pretrained_cfg": {"no_such_field": 1}}))
    with pytest.raises(DermsslError, match=r"config.json cannot be used by timm.*no_such_field"):
        load_backbone(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(DermsslError, match=r"config\.json cannot be used"):
        load_backbone(folder)


def test_damaged_and_missing_files(folder, tmp_path):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DermsslError, match=r"model\.safetensors cannot be read"):
        load_backbone(folder)
    file.unlink()
    with pytest.raises(DermsslError, match=r"there is no model\.safetensors"):
        load_backbone(folder)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").touch()
    with pytest.raises(DermsslError, match="has not written its backbone yet"):
        load_backbone(tmp_path / "run")
    save_file({"a": torch.zeros(1)}, tmp_path / "lone.safetensors")
    with pytest.raises(DermsslError, match="nothing says which architecture"):
        load_backbone(tmp_path / "lone.safetensors")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("no/such/place", "not found; give a run directory"),
        ("random:", "not found; give"),
        ("random:resnet81", "weights random:resnet81: timm has no such model; did you mean resnet"),
        ("timm:resnet81", "weights timm:resnet81: timm has no such model; did you mean resnet"),
        ("timm:resnet18.no_such_tag", "timm has no such weights; it publishes .*resnet18.a1_in1k"),
        ("timm:resnet14t", None),
        ("hf-hub:only-a-name/with/too/much", "write ORG/NAME"),
    ],
)
def test_unusable_spellings(weights, message, monkeypatch):
    if message is None:
        monkeypatch.setattr(timm, "list_pretrained", lambda pattern: [])
        message = "timm publishes no weights for resnet14t; use random:resnet14t"
    with pytest.raises(DermsslError, match=message):
        load_backbone(weights)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("IoError: No space left on device")]
)
def test_a_failed_save_leaves_the_old_files(resnet, folder, monkeypatch, error):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr("dermssl.backbones.save.save_file", full)
    with pytest.raises(DermsslError, match="No space left on device"):
        save(resnet, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["r18.pth", "r18.pth.tar", "r18.ckpt"])
def test_a_pickle_that_is_there_is_not_called_missing(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(DermsslError, match=r"may hold pickled objects; convert it once with `dermssl export"):
        load_backbone(tmp_path / name)
