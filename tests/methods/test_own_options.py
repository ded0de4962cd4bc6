"""A method's own options reach its constructor, and what cannot be is said before the training."""

import json
import logging

import pytest
from click.testing import CliRunner

import dermssl
from dermssl import DermsslError
from dermssl.cli import group
from dermssl.data.synthetic import write_synthetic
from dermssl.methods.registry import METHODS
from dermssl.methods.simclr import SimCLR

pytestmark = pytest.mark.slow  # methods with options of their own are trained

TINY = {"backbone": "test_resnet", "image_size": 32, "batch_size": 20, "epochs": 1, "device": "cpu", "workers": 1}


class Sharpened(SimCLR):
    """SimCLR with options of its own.

    Args:
        backbone: any.
        sharpness: must be given.
        squared: whether to square.
    """

    title = "Sharpened"

    def __init__(self, backbone="resnet18", *, sharpness: float, squared: bool = False) -> None:
        super().__init__(backbone)
        self.sharpness, self.squared = sharpness, squared
        made.append(self)


made: list[Sharpened] = []


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("synthetic"), images=40, size=32, seed=0)


@pytest.fixture
def sharpened(monkeypatch):
    made.clear()
    monkeypatch.setitem(METHODS.data, "sharpened", Sharpened)


def run(images, output, *more: str):
    words = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return CliRunner().invoke(group, ["pretrain", str(images), "--output", str(output), *words, *more])


def test_they_reach_the_constructor(images, tmp_path, sharpened):
    outcome = run(images, tmp_path / "run", "--method=sharpened", "--sharpness", "3", "--squared")
    assert outcome.exit_code == 0, outcome.output
    assert (made[0].sharpness, made[0].squared) == (3.0, True)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["method_options"]
    assert stored == {"sharpness": 3.0, "squared": True}
    # the same run, finished, by the Python call; another value is another run
    dermssl.pretrain(images, tmp_path / "run", method="sharpened", sharpness=3, squared=True, **TINY)
    with pytest.raises(DermsslError, match="holds another run"):
        dermssl.pretrain(images, tmp_path / "run", method="sharpened", sharpness=4, squared=True, **TINY)


def test_one_that_must_be_given_is_asked_for(images, tmp_path, sharpened):
    with pytest.raises(DermsslError, match="--method sharpened needs --sharpness"):
        dermssl.pretrain(images, tmp_path / "run", method="sharpened", **TINY)


def test_the_default_method_has_its_own_too(images, tmp_path):
    outcome = run(images, tmp_path / "run", "--embedding-dim", "16", "--queue-size", "8")
    assert outcome.exit_code == 0, outcome.output
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["method_options"] == {
        "embedding_dim": 16
    }


def test_another_methods_option_is_none_of_this_one(images, tmp_path):
    outcome = run(images, tmp_path / "run", "--method", "moco", "--patch-weight", "0.5")
    assert outcome.exit_code == 2
    assert "No such option: --patch-weight" in outcome.output or "No such option '--patch-weight'" in outcome.output
    with pytest.raises(DermsslError, match="pretrain has no option 'patch_weight'"):
        dermssl.pretrain(images, tmp_path / "run", method="moco", patch_weight=0.5, **TINY)
    with pytest.raises(DermsslError, match=r"--method pirl: --patch-weight 1\.5: must be 0 or more and at most 1"):
        dermssl.pretrain(images, tmp_path / "run", method="pirl", patch_weight=1.5, **TINY)


def test_synchronised_and_shuffled_batchnorm_exclude_each_other(images, tmp_path):
    with pytest.raises(DermsslError, match="use one"):
        dermssl.pretrain(images, tmp_path / "run", key_norm="shuffle", sync_bn=True, **TINY)


def test_shuffle_says_that_a_batch_is_too_small_for_it(images, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "dermssl"):
        dermssl.pretrain(images, tmp_path / "run", key_norm="shuffle", **TINY)
    assert caplog.text.count("--key-norm shuffle: a batch of 20 in one process cannot be divided") == 1


def test_a_schedule_of_the_momentum_without_a_momentum_is_named(images, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dermssl")
    dermssl.pretrain(images, tmp_path / "run", method="simclr", momentum_schedule="cosine", **TINY)
    assert "simclr has no use for --momentum-schedule" in caplog.text
