"""Options of a run: defaults, recipes, errors."""

import dataclasses
import inspect

import pytest

from dermssl import DermsslError
from dermssl.cli.pretrain import command
from dermssl.data.policy import ViewPolicy
from dermssl.options import flag, said_of
from dermssl.pretraining.config import PretrainConfig, make_config
from dermssl.pretraining.decided import default_momentum, default_queue_size


def test_an_option_overrides_its_recipe_and_a_recipe_the_default():
    paper = make_config(recipe="paper")
    assert (paper.batch_size, paper.temperature, paper.momentum, paper.image_size) == (512, 0.07, 0.999, 224)
    assert make_config(recipe="paper", temperature=0.2).temperature == 0.2
    assert make_config().temperature == 0.2


def test_whole_numbers_are_floats_and_paths_are_text(tmp_path):
    config = make_config(rotation_weight=0, warmup_epochs=2, eval_data=tmp_path)
    assert config.rotation_weight == 0
    assert config.eval_data == str(tmp_path)


def test_fixed_defaults():
    config = make_config()
    fixed = {"lr": 0.06, "rotation_weight": 0.1, "queue_size": None, "backbone": "resnet18", "seed": 0}
    assert {name: getattr(config, name) for name in fixed} == fixed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs 0: must be 1 or more"),
        ({"batch_size": -1}, "--batch-size"),
        ({"lr": 0.0}, "--lr"),
        ({"lr": float("nan")}, "--lr nan: must be above 0"),
        ({"temperature": -0.2}, "--temperature"),
        ({"momentum": 1.0}, r"--momentum 1: must be 0 or more and below 1"),
        ({"crop_scale": 1.5}, "--crop-scale"),
        ({"hue": 0.7}, "--hue"),
        ({"grayscale": 2.0}, "--grayscale"),
        ({"rotation_weight": -0.1}, "--rotation-weight"),
        ({"flip": "vertical"}, "--flip vertical: unknown; use one of none, horizontal, both"),
        ({"key_norm": "layer"}, "--key-norm"),
        ({"precision": "fp8"}, "--precision"),
        ({"recipe": "papers"}, "--recipe papers"),
        ({"epochs": "many"}, "--epochs 'many': must be a whole number"),
        ({"epochs": 2.5}, "--epochs 2.5: must be a whole number"),
        ({"lr": None}, "--lr None: must be a number"),
        ({"backbone": 18}, "--backbone 18: must be text"),
        ({"fit": 3}, "--fit 3: must be text"),
        ({"tempreature": 0.1}, "did you mean temperature"),
    ],
)
def test_bad_values_name_the_option(options, message):
    with pytest.raises(DermsslError, match=message):
        make_config(**options)


def test_the_command_has_every_option_of_the_python_call():
    flags = {name for parameter in command.params for name in parameter.opts}
    assert {flag(name) for name, said in said_of(PretrainConfig).items() if said.command} <= flags
    assert {"--output", "--resume"} <= flags


def test_every_option_has_a_help_text():
    assert all(f.metadata["said"].help.endswith((".", "?")) for f in dataclasses.fields(PretrainConfig))
    assert inspect.getdoc(make_config)


def test_default_momentum_grows_with_the_run():
    assert default_momentum(100) == pytest.approx(0.99)
    assert default_momentum(1_300) == pytest.approx(0.99)
    assert default_momentum(6_500) == pytest.approx(0.998)
    assert default_momentum(13_000) == pytest.approx(0.999)
    assert default_momentum(10**9) == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("images", "batch_size", "steps", "queue"),
    [
        (10_015, 128, 312, 1024),  # four epochs: the best of three lengths that were tried
        (33_126, 512, 13_000, 8192),  # the paper's run, and its best
        (10_015, 128, 15_600, 8192),
        (300, 128, 400, 256),
        (50, 16, 6, 32),
        (3, 2, 1, 2),
        (2, 2, 200, 2),
    ],
)
def test_the_default_queue_fits_the_set_and_the_run(images, batch_size, steps, queue):
    assert default_queue_size(images, batch_size, steps) == queue


def test_the_recipes_keep_their_queues():
    assert make_config(recipe="short").queue_size == 1024
    assert make_config(recipe="paper").queue_size == 8192
    assert make_config().queue_size is None


def test_views_of_short_runs_keep_their_colour():
    config, default = make_config(recipe="short"), make_config()
    assert (config.hue, config.grayscale) == (0.02, 0.0)
    for strength in ("brightness", "contrast", "saturation"):
        assert getattr(config, strength) == 0.2 < getattr(default, strength)
    assert make_config(recipe="short", hue=0.1).hue == 0.1


def test_every_strength_of_a_view_is_an_option_and_arrives():
    given = {"crop_scale": 0.3, "flip": "none", "brightness": 0.1, "contrast": 0.2, "saturation": 0.3, "hue": 0.05}
    config = make_config(**given, grayscale=0.6)
    assert {f.name: getattr(config, f.name) for f in dataclasses.fields(ViewPolicy)} == {**given, "grayscale": 0.6}
