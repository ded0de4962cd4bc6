"""Weights that are described by somebody else's file: mixed pairs, and networks that no memory would hold."""

import errno
import json
import resource
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dermssl.backbones import described
from dermssl.backbones.create import create_backbone
from dermssl.backbones.described import read_described
from dermssl.backbones.facts import feature_width
from dermssl.backbones.identity import ID_KEY, METADATA_KEY, weights_id
from dermssl.backbones.load import load_backbone
from dermssl.backbones.save import save_backbone
from dermssl.errors import DermsslError


def save(folder, seed=0, name="test_efficientnet"):
    model = create_backbone(name, image_size=32, seed=seed)
    save_backbone(model, folder, mean=(0.5,) * 3, std=(0.2,) * 3, image_size=32, provenance={"note": seed})
    return folder


def change(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


def metadata(folder):
    with safe_open(folder / "model.safetensors", framework="pt") as opened:
        return opened.metadata()


def as_by_0_1_0(folder):
    """Take the id out of both files: those of that version have none."""
    config = json.loads((folder / "config.json").read_text())
    del config["dermssl"]["id"]
    (folder / "config.json").write_text(json.dumps(config))
    kept = {key: value for key, value in metadata(folder).items() if key != ID_KEY}
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors", metadata=kept)
    return folder


def test_the_id_is_that_of_the_values(tmp_path):
    one, again, other = save(tmp_path / "one"), save(tmp_path / "again"), save(tmp_path / "other", seed=1)
    ids = [json.loads((folder / "config.json").read_text())["dermssl"]["id"] for folder in (one, again, other)]
    assert ids == [metadata(folder)[ID_KEY] for folder in (one, again, other)]
    assert ids[0] == ids[1] != ids[2]
    tensors = load_file(one / "model.safetensors")
    assert weights_id(dict(reversed(tensors.items()))) == ids[0]
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    for changed in (tensors[name].half(), tensors[name].flatten(), tensors[name].nextafter(torch.tensor(9.0))):
        assert weights_id({**tensors, name: changed}) != ids[0]


@pytest.mark.parametrize("earlier", [(), ("config",), ("weights",)])
def test_weights_under_the_configuration_of_others_are_noticed(tmp_path, earlier):
    """As after a kill between the two renames, with 0.1.0 as the writer of the one, the other, or neither."""
    old, new = save(tmp_path / "old"), save(tmp_path / "new", seed=1)
    if "config" in earlier:
        as_by_0_1_0(old)
    if "weights" in earlier:
        as_by_0_1_0(new)
    load_backbone(old), load_backbone(new)
    (old / "model.safetensors").write_bytes((new / "model.safetensors").read_bytes())
    with pytest.raises(DermsslError, match=r"are not of the same weights.*give its command again"):
        load_backbone(old)
    with pytest.raises(DermsslError, match="are not of the same weights"):
        load_backbone(old / "model.safetensors")


def test_files_without_an_id_are_taken_as_they_are(tmp_path):
    folder = save(tmp_path / "old")
    tensors = load_file(folder / "model.safetensors")
    load_backbone(as_by_0_1_0(folder))
    save_file(tensors, folder / "model.safetensors")  # written anew by somebody else
    load_backbone(folder)
    config = {key: value for key, value in json.loads((folder / "config.json").read_text()).items() if key != "dermssl"}
    save(folder)
    (folder / "config.json").write_text(json.dumps(config))  # a configuration of their own
    load_backbone(folder)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet18", {"layers": [10**9, 1, 1, 1]}),
        ("resnet18", {"layers": [10**5, 1, 1, 1]}),
        ("test_vit", {"depth": 10**5}),
        ("resnet18", {"channels": [64, 10**5, 10**5, 10**5]}),
        ("test_vit", {"depth": 10**9}),
        ("test_vit", {"embed_dim": 2**19}),
        ("test_vit", {"img_size": 10**6}),
        ("test_vit", {"depth": 10**400}),
    ],
)
def test_a_network_of_gigabytes_is_refused_before_it_is_built(tmp_path, name, arguments):
    folder = save(tmp_path / "small", name=name)
    change(folder, model_args=arguments)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(DermsslError, match=rf"weights {folder}: .*") as error:
        load_backbone(folder)
    assert "\n" not in str(error.value).strip()
    assert time.monotonic() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # kB


def test_images_that_nothing_here_takes_are_refused(tmp_path):
    folder = save(tmp_path / "small")
    config = json.loads((folder / "config.json").read_text())
    change(folder, pretrained_cfg={**config["pretrained_cfg"], "input_size": [3, 9000, 9000]})
    with pytest.raises(DermsslError, match=r"asks for images of 9,000 px, and 1 to 4,096 px are"):
        load_backbone(folder)


def test_weights_that_may_not_be_read_are_not_called_missing(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    folder = save(tmp_path / "small")
    monkeypatch.setattr(described, "open_regular", refuse)
    with pytest.raises(DermsslError, match=r"model\.safetensors cannot be read: Permission denied; give yourself"):
        load_backbone(folder)


@pytest.mark.parametrize("size", [[3, -5, -5], [3, 0, 0], [], [3, 32], [10**6, 32, 32], [3, 32, 4097]])
def test_sizes_that_no_image_has_are_refused(tmp_path, size):
    folder = save(tmp_path / "small")
    config = json.loads((folder / "config.json").read_text())
    change(folder, pretrained_cfg={**config["pretrained_cfg"], "input_size": size})
    with pytest.raises(DermsslError, match=r"config\.json .*input_size"):
        load_backbone(folder)


def test_a_size_that_the_network_does_not_take_is_one_error(tmp_path):
    model = load_backbone(save(tmp_path / "small", name="test_convnext"))
    model.pretrained_cfg["input_size"] = (3, 1, 1)
    with pytest.raises(DermsslError, match="takes no images of 1 px"):
        feature_width(model)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"architecture": 3}', '{"architecture": "resnet18", "pretrained_cfg": 1}', "[" * 10**5,
        '{"architecture": "resnet18", "pretrained_cfg": {"first_conv": true}}',
        '{"architecture": "resnet18", "pretrained_cfg": {"classifier": [1]}}',
    ],
)  # fmt: skip
def test_a_damaged_configuration_is_one_line(tmp_path, text):
    folder = save(tmp_path / "small")
    (folder / "config.json").write_text(text)
    with pytest.raises(DermsslError, match=r"config\.json cannot be used: .* damaged") as error:
        load_backbone(folder)
    assert len(str(error.value).splitlines()) == 1


def test_what_is_described_is_what_is_built(tmp_path):
    for name in ("test_efficientnet", "test_vit", "resnet10t"):
        folder = save(tmp_path / name, name=name)
        described = read_described("x", folder / "config.json", folder / "model.safetensors")
        model = load_backbone(folder)
        assert described.parameters == sum(parameter.numel() for parameter in model.parameters())
        assert described.shapes == {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        assert METADATA_KEY in metadata(folder)
