"""info: what is told of weights and of the machine."""

import json

import pytest
from click.testing import CliRunner

from dermssl.cli.info import command
from dermssl.errors import DermsslError


def told(*arguments):
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_its_export_and_its_file_tell_the_same(run, exported):
    of_run, of_export, of_file = (
        json.loads(told(str(weights), "--json")) for weights in (run, exported, exported / "model.safetensors")
    )
    assert of_export["architecture"] == "resnet10t"
    assert of_export["feature_width"] == 512
    assert of_export["parameters"] > 4e6
    assert of_export["license"] == "cc-by-nc-4.0"
    assert of_export["input"]["input_size"] == [3, 32, 32]
    assert of_export["record"]["data"]["content_hash"] == "c0ffee"
    assert of_export["record"]["results"][0]["metrics"]["accuracy"] == 0.725
    for key in ("architecture", "parameters", "license"):
        assert of_run[key] == of_export[key] == of_file[key]
    # the run knows all that its export does
    assert of_run["record"] == {
        key: value for key, value in of_export["record"].items() if key not in ("dermssl", "id", "feature_width")
    }


def test_text(exported):
    text = told(str(exported))
    for line in (
        "resnet10t, 4,",
        "cc-by-nc-4.0",
        "HAM10000, 50 images",
        "evaluation | data set | images |",
        "KNN        | HAM10000 |     60 | 5 folds grouped by lesion |",
        "k = 10 | 72.5 [70.0, 75.0] |",
    ):
        assert line in text
    assert "not made by dermssl" in told("random:resnet10t")


def test_the_machine_without_its_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    about = json.loads(told("--json"))
    assert {"dermssl", "torch", "timm", "huggingface_hub"} <= about["versions"].keys()
    assert about["hub"]["token"] == "set"
    assert "hf_secret" not in json.dumps(about)
    assert "torch" in told()


def test_random_weights_know_nothing_of_the_folder_they_are_asked_in(exported, monkeypatch):
    monkeypatch.chdir(exported)
    assert "not made by dermssl" in told("random:resnet10t")


def test_weights_that_do_not_exist():
    with pytest.raises(DermsslError, match="not found"):
        CliRunner().invoke(command, ["nowhere"], catch_exceptions=False)
