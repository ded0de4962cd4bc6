"""Checkpoints of other programs: every usual spelling, and what is refused."""

import argparse
import functools
import json
import logging
import os
import pickle
from collections import OrderedDict

import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import dermssl
from dermssl import DermsslError
from dermssl.backbones.create import create_backbone
from dermssl.cli import group

NAME = "resnet10t"


@functools.cache
def model(seed=1):
    """Made once; not to be changed."""
    return create_backbone(NAME, seed=seed)


def tensors(seed=1, prefix=""):
    """Those of a backbone under a prefix."""
    return OrderedDict({f"{prefix}{key}": tensor for key, tensor in model(seed).state_dict().items()})


def fc(width=512, prefix="fc."):
    return {f"{prefix}weight": torch.zeros(1000, width), f"{prefix}bias": torch.zeros(1000)}


def dotted(**groups):
    return {f"{group}.{name}": tensor for group, inner in groups.items() for name, tensor in inner.items()}


def head():
    return {"0.weight": torch.zeros(4, 512), "2.weight": torch.zeros(4, 4)}


def lightning(state):
    return {
        "epoch": 3,
        "state_dict": state,
        "optimizer_states": [{"state": {0: torch.zeros(3)}}],
        "hyper_parameters": {},
    }


def sequence(prefix):
    """lightly's nn.Sequential(*list(resnet.children())[:-1])."""
    without_head = nn.Sequential(*list(model().children())[:-1])
    return {f"{prefix}{key}": tensor for key, tensor in without_head.state_dict().items()}


USUAL = {
    "torchvision": lambda: {**tensors(), **fc()},
    "torchvision before 0.4": lambda: {k: v for k, v in tensors().items() if "num_batches" not in k} | fc(),
    "saved from DDP": lambda: tensors(prefix="module."),
    "saved after torch.compile": lambda: tensors(prefix="_orig_mod."),
    "MoCo v2": lambda: {
        "epoch": 200,
        "arch": NAME,
        "state_dict": {
            **tensors(2, "module.encoder_k."),
            **tensors(1, "module.encoder_q."),
            **dotted(**{"module.encoder_q.fc": head(), "module.encoder_k.fc": head()}),
            "module.queue": torch.zeros(4, 16),
            "module.queue_ptr": torch.zeros(1, dtype=torch.long),
        },
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
    },
    "MoCo v3": lambda: {
        "state_dict": {
            **tensors(1, "module.base_encoder."),
            **tensors(2, "module.momentum_encoder."),
            **dotted(**{"module.predictor": head(), "module.base_encoder.fc": head()}),
        }
    },
    "lightly": lambda: lightning(
        {**tensors(1, "backbone."), **dotted(projection_head={"layers.0.weight": torch.ones(2)})}
    ),
    "lightly's MoCo, as a sequence": lambda: lightning(
        {**sequence("backbone."), **{k: v + 1 for k, v in sequence("backbone_momentum.").items()}}
    ),
    "solo-learn": lambda: lightning(
        {
            **tensors(1, "backbone."),
            **tensors(2, "momentum_backbone."),
            **dotted(classifier={"weight": torch.ones(3, 2)}),
        }
    ),
    "solo-learn before 1.0": lambda: lightning({**tensors(1, "encoder."), **dotted(projector=head())}),
    "SimCLR": lambda: {"state_dict": {**tensors(1, "backbone."), **dotted(**{"backbone.fc": head()})}},
    "DINO": lambda: {
        "student": tensors(2, "module.backbone.") | dotted(**{"module.head": {"last_layer.weight_v": torch.ones(2)}}),
        "teacher": tensors(1, "backbone.") | dotted(head={"last_layer.weight_v": torch.ones(2)}),
        "args": argparse.Namespace(arch=NAME, lr=0.1),
        "epoch": 1,
    },
    "timm": lambda: {"arch": NAME, "state_dict": tensors(2) | fc(), "state_dict_ema": tensors(1) | fc(), "epoch": 9},
    "a whole DINO-like file of half precision": lambda: {"model": {k: v.half() for k, v in tensors().items()}},
}


@pytest.mark.slow
@pytest.mark.parametrize("spelling", USUAL)
def test_usual_checkpoints_are_converted(spelling, tmp_path, caplog):
    torch.save(USUAL[spelling](), tmp_path / "model.pth.tar")
    with caplog.at_level(logging.INFO, "dermssl"):
        folder = dermssl.export(tmp_path / "model.pth.tar", tmp_path / "out", backbone=NAME, license="mit")
    expected = model().state_dict()
    for again in (
        dermssl.load_backbone(folder),
        timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0),
    ):
        for key, tensor in again.state_dict().items():
            if "num_batches" not in key:
                torch.testing.assert_close(tensor, expected[key], rtol=1e-3, atol=1e-3 if "half" in spelling else 0)
    config = json.loads((folder / "config.json").read_text())
    assert config["pretrained_cfg"]["license"] == "mit"
    assert config["pretrained_cfg"]["input_size"] == [3, 176, 176]
    assert "dermoscopy" not in config["pretrained_cfg"]["description"]
    # what is left out is said: all of the file's tensors are spoken of
    names = {name for name in flat(USUAL[spelling]()) if name.count(".") and not name.startswith("optim")}
    taken = config["dermssl"]["converted"]["prefix"]
    for name in names:
        below = name.removeprefix(taken) if name.startswith(taken) else None
        said = ".".join(name.split(".")[: taken.count(".") or 1]) if below is None else below.split(".")[0]
        assert (below and ".".join([taken + below]) in kept(taken)) or said in caplog.text, name


def kept(prefix):
    return tensors(prefix=prefix).keys() | sequence(prefix).keys()


def flat(value, prefix=""):
    if isinstance(value, torch.Tensor):
        return [prefix[:-1]]
    inner = value.items() if isinstance(value, dict) else ()
    return [name for key, part in inner for name in flat(part, f"{prefix}{key}.")]


def test_the_command_and_its_output(tmp_path):
    torch.save(tensors() | fc(), tmp_path / "r10.pt")
    options = ["--backbone", NAME, "--image-size", "64", "--mean", "0.7,0.5,0.4", "--std", "0.1,0.2,0.3"]
    done = CliRunner().invoke(group, ["export", str(tmp_path / "r10.pt"), str(tmp_path / "out"), *options])
    assert done.exit_code == 0, done.output
    assert "local-dir:" in done.output
    assert "push" not in done.output
    cfg = json.loads((tmp_path / "out" / "config.json").read_text())["pretrained_cfg"]
    assert (cfg["mean"], cfg["std"], cfg["input_size"]) == ([0.7, 0.5, 0.4], [0.1, 0.2, 0.3], [3, 64, 64])
    # a second time into the same folder, and one that holds something else
    assert (
        CliRunner().invoke(group, ["export", str(tmp_path / "r10.pt"), str(tmp_path / "out"), *options]).exit_code == 0
    )
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(DermsslError, match="holds something that is not a converted checkpoint"):
        dermssl.export(tmp_path / "r10.pt", tmp_path / "out", backbone=NAME)


def test_a_vit_at_its_size(tmp_path):
    vit = create_backbone("test_vit", image_size=32, seed=1)
    torch.save({"teacher": {f"backbone.{k}": v for k, v in vit.state_dict().items()}}, tmp_path / "dino.pth")
    with pytest.raises(DermsslError, match=r"pos_embed is .* or give the --image-size it was trained at"):
        dermssl.export(tmp_path / "dino.pth", tmp_path / "out", backbone="test_vit")
    folder = dermssl.export(tmp_path / "dino.pth", tmp_path / "out", backbone="test_vit", image_size=32)
    assert torch.equal(dermssl.load_backbone(folder).pos_embed, vit.pos_embed)


def test_safetensors_of_other_names(tmp_path):
    save_file({k: v.contiguous() for k, v in tensors(prefix="model.").items()}, tmp_path / "a.safetensors")
    assert dermssl.load_backbone(dermssl.export(tmp_path / "a.safetensors", tmp_path / "out", backbone=NAME))


def test_no_licence_is_said(tmp_path, caplog):
    torch.save(tensors(), tmp_path / "a.pth")
    dermssl.export(tmp_path / "a.pth", tmp_path / "out", backbone=NAME)
    assert "the licence of these weights is unknown: name it with --license" in caplog.text


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def hostile_zip(path, mark):
    torch.save({"state_dict": tensors(), "hyper": Hostile(mark)}, path)


def hostile_bare(path, mark):
    path.write_bytes(pickle.dumps(Hostile(mark)))


def hostile_legacy(path, mark):
    torch.save(Hostile(mark), path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [hostile_zip, hostile_bare, hostile_legacy])
@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".bin", ".pt", ".pth.tar"])
def test_pickles_that_run_code_do_not(write, suffix, tmp_path):
    write(tmp_path / f"a{suffix}", str(tmp_path / "mark"))
    with pytest.raises(DermsslError) as raised:
        dermssl.export(tmp_path / f"a{suffix}", tmp_path / "out", backbone=NAME)
    assert "\n" not in str(raised.value)
    assert "a pickle may run code" in str(raised.value)
    assert write is hostile_bare or "mkdir" in str(raised.value)  # torch stops before it at pickle's newer versions
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "out").exists()


def without(name):
    return {k: v for k, v in tensors().items() if k != name}


def two():
    return {"net_a": tensors(1), "net_b": tensors(2)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("conv1.0.weight"), r"1 are missing \(conv1.0.weight\)"),
        ({**tensors(), "layer9.0.weight": torch.zeros(2)}, r"1 tensors below '' are neither .*layer9.0.weight"),
        ({**tensors(), "conv1.0.weight": torch.zeros(3)}, r"conv1.0.weight is \(3,\), not"),
        ({**tensors(), "bn1.bias": torch.full((64,), torch.nan)}, r"1 tensors hold NaN or infinity \(bn1.bias\)"),
        ({"a.b": torch.zeros(2)}, "none of its 1 tensors is named as timm names those of resnet10t"),
        (two(), "several networks of this architecture .net_a., net_b.., and nothing says"),
        ({}, "holds no tensors"),
        ([1, 2], "holds no tensors"),
        (torch.zeros(3), "holds no tensors"),
    ],
)
def test_what_does_not_fit_is_named(content, message, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(DermsslError, match=message):
        dermssl.export(tmp_path / "a.pth", tmp_path / "out", backbone=NAME)
    assert not (tmp_path / "out").exists()


def test_two_equal_networks_are_one(tmp_path):
    torch.save({"net_a": tensors(1), "net_b": tensors(1)}, tmp_path / "a.pth")
    assert dermssl.export(tmp_path / "a.pth", tmp_path / "out", backbone=NAME)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut", b"\x80\x04.", b"hello"])
def test_damaged_files_are_one_error(data, tmp_path):
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(DermsslError, match=r"a\.pth") as raised:
        dermssl.export(tmp_path / "a.pth", tmp_path / "out", backbone=NAME)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name it with --backbone"),
        ({"backbone": "resnet81"}, "did you mean resnet"),
        ({"backbone": NAME, "mean": (1.0, 2.0, 3.0)}, "--mean 1,2,3: three numbers from 0 to 1"),
        ({"backbone": NAME, "std": (0.0, 0.1, 0.1)}, "--std: must be above 0"),
        ({"backbone": NAME, "attribution": ("me",)}, "are for the card"),
    ],
)
def test_options_that_do_not_fit(options, message, tmp_path):
    torch.save(tensors(), tmp_path / "a.pth")
    with pytest.raises(DermsslError, match=message):
        dermssl.export(tmp_path / "a.pth", tmp_path / "out", **options)


def test_a_run_needs_no_backbone(tmp_path):
    with pytest.raises(DermsslError, match="--backbone is for checkpoints of other programs"):
        dermssl.export(tmp_path, tmp_path / "out", backbone=NAME)


@pytest.mark.parametrize("name", ["my r18.pth", "r18.pth.tar", "r18.ckpt", "r18.bin", "r18.pt"])
def test_load_backbone_names_the_command(name, tmp_path):
    torch.save(tensors(), tmp_path / name)
    with pytest.raises(DermsslError, match=r"dermssl export .* DIR --backbone NAME"):
        dermssl.load_backbone(tmp_path / name)
