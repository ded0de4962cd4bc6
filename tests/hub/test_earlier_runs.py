"""Runs that a run started from, wherever their weights lie: none is lost, and their commands are commands."""

import json
import shlex

import click
import huggingface_hub
import pytest
import torch
from hub_fixtures import write_report, write_run

from dermssl.backbones.create import create_backbone
from dermssl.cli import group
from dermssl.errors import DermsslError
from dermssl.hub import export as exporting
from dermssl.hub.export import export
from dermssl.pretraining.record import earlier_runs

NAME = "derm/resnet10t.dermssl_ham10000"


@pytest.fixture(autouse=True)
def unverified(monkeypatch):
    monkeypatch.setattr(exporting, "_verify", lambda *_: None)


@pytest.fixture
def at(hub, monkeypatch):
    """The loopback Hub is where this process asks."""
    constants = huggingface_hub.constants
    address = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    return hub


def started(run, init, **config):
    """``run``, as if it had started from ``init``."""
    stored = json.loads((run / "config.json").read_text())
    stored["config"] |= {"init": str(init), **config}
    stored["before"] = earlier_runs(str(init))
    (run / "config.json").write_text(json.dumps(stored))
    return run


def commands(folder):
    """The words of each command of a PROVENANCE.md; one that is none, or has an unknown option, raises."""
    lines = [shlex.split(line) for line in (folder / "PROVENANCE.md").read_text().splitlines() if "dermssl " in line]
    found = [words for words in lines if words[0] == "dermssl"]
    for _, name, *arguments in found:
        called = group.get_command(click.Context(group), name)
        called.make_context(name, arguments, help_option_names=["-h", "--help"])
    return found


def test_weights_of_the_hub_tell_as_much_as_those_of_a_folder(at, exported, tmp_path):
    at.add(NAME, {file.name: file.read_bytes() for file in exported.iterdir()})
    told = earlier_runs(f"hf-hub:{NAME}@main")
    assert told == earlier_runs(str(exported))
    assert told[0]["license"] == "cc-by-nc-4.0"
    at.add("derm/old", {"config.json": (exported / "config.json").read_bytes()})  # without results.json
    assert [run["license"] for run in earlier_runs("hf-hub:derm/old")] == ["cc-by-nc-4.0"]
    at.add("others/model", {"config.json": b'{"architecture": "resnet10t"}'})
    assert earlier_runs("hf-hub:others/model") == earlier_runs("hf-hub:nobody/nothing") == []

    run = started(write_run(tmp_path / "second", layout="image folder"), f"hf-hub:{NAME}")
    with pytest.raises(DermsslError, match="--license mit: the weights come from HAM10000"):
        export(run, tmp_path / "out", license="mit")
    export(run, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "\nlicense: cc-by-nc-4.0\n" in card
    assert "- Tschandl P." in card
    assert "- It has seen HAM10000 and photos only." in card
    assert f"| first weights | `hf-hub:{NAME}` |" in card
    assert f"| before: `{NAME.partition('/')[2]}` | rotinstdisc, HAM10000, 3 epochs" in card
    words = commands(tmp_path / "out")[1]
    assert words[words.index("--init") + 1] == f"hf-hub:{NAME}"


def test_runs_of_one_name_are_told_apart(tmp_path):
    first = write_run(tmp_path / "a" / "r18")
    second = started(write_run(tmp_path / "b" / "r18"), first)
    third = started(write_run(tmp_path / "c" / "r18"), second)
    export(third, tmp_path / "out" / "r18")
    pretrained = [words for words in commands(tmp_path / "out" / "r18") if words[1] == "pretrain"]
    outputs = [words[words.index("--output") + 1] for words in pretrained]
    assert len(set(outputs)) == 3
    assert [words[words.index("--init") + 1] for words in pretrained[1:]] == outputs[:2]
    card = (tmp_path / "out" / "r18" / "README.md").read_text()
    assert "| before: `r18` |" in card
    assert "| before: `r18-2` |" in card


def test_the_options_of_a_method_are_options_of_its_command(tmp_path):
    run = write_run(tmp_path / "run")
    stored = json.loads((run / "config.json").read_text())
    stored["config"] |= {"method": "byol", "method_options": {"embedding_dim": 64, "hidden_dim": 128}}
    (run / "config.json").write_text(json.dumps(stored))
    export(run, tmp_path / "out")
    words = commands(tmp_path / "out")[0]
    assert words[words.index("--embedding-dim") + 1] == "64"
    assert words[words.index("--hidden-dim") + 1] == "128"


def test_a_folder_that_is_named_as_an_option_is_none(tmp_path):
    run = write_run(tmp_path / "run", layout="image folder", source="/home/me/-photos")
    write_report(run / "evaluations" / "peer.json", str(tmp_path / "-peer"))
    export(run, tmp_path / "out")
    assert [words[2] for words in commands(tmp_path / "out")][:2] == ["./-photos", "./-peer"]


def test_a_converted_checkpoint_is_told_and_its_licence_carried_on(tmp_path):
    torch.save(create_backbone("resnet10t").state_dict(), tmp_path / "moco r10.pth")
    made = export(tmp_path / "moco r10.pth", tmp_path / "from moco", backbone="resnet10t", license="cc-by-nc-4.0")
    run = started(write_run(tmp_path / "run", layout="image folder"), made)
    with pytest.raises(DermsslError, match=r"the weights come from moco r10\.pth, whose licence cc-by-nc-4\.0"):
        export(run, tmp_path / "out", license="mit")
    export(run, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "\nlicense: cc-by-nc-4.0\n" in card
    assert "- It has seen what moco r10.pth was trained on and photos only." in card
    assert "| before: `from moco` | moco r10.pth, a checkpoint of another program |" in card
    first, second, *_ = commands(tmp_path / "out")
    assert first[1:4] == ["export", "moco r10.pth", "runs/from moco"]
    assert first[first.index("--backbone") + 1] == "resnet10t"
    assert second[second.index("--init") + 1] == "runs/from moco"
    again = export(run, tmp_path / "again", license="cc-by-nc-4.0")
    assert earlier_runs(str(again))[0] == earlier_runs(str(made))[0]
