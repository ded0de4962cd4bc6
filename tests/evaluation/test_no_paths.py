"""What may be handed on says nothing of the folders of this machine: reports, tables, metadata, figures."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import dermssl
from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import IMAGENET_MEAN, IMAGENET_STD
from dermssl.backbones.save import save_backbone
from dermssl.cli import group
from dermssl.evaluation.report import Report

from .conftest import write_set

pytestmark = pytest.mark.slow  # every evaluation, twice


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with labelled images, weights, the same weights elsewhere, and pairs."""
    home = tmp_path_factory.mktemp("somebody")
    write_set(home / "images", {"mel": 12, "nv": 12})
    write_set(home / "others", {"mel": 4, "nv": 4}, seed=1)
    model = create_backbone("test_efficientnet", image_size=32, seed=0)
    options = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "image_size": 32, "provenance": {}}
    save_backbone(model, home / "one" / "weights", **options)
    shutil.copytree(home / "one", home / "two")
    (home / "pairs.csv").write_text("mel_0_1.png,mel_0_2.png\nmel_0_3.png,nowhere.png\n")
    return home


COMMANDS = {
    "eval-knn": ["eval-knn", "{w}", "{d}", "--k", "3", "--folds", "2", "--join", "{h}/pairs.csv"],
    "test set": ["eval-knn", "{w}", "{d}", "--k", "3", "--test", "{h}/others/images.csv", "--page", "{o}/p.html"],
    "frozen": ["finetune", "{w}", "{d}", "--freeze", "--folds", "2", "--page", "{o}/p.html"],
    "finetune": ["finetune", "{w}", "{d}", "--epochs", "1", "--folds", "2", "--output", "{o}/model"],
    "fewshot": ["fewshot", "{w}", "{h}/two/weights", "{d}", "--freeze", "--folds", "2", "--fractions", "0.5,1",
                "--output", "{o}/few"],
    "project": ["project", "{w}", "{d}", "--perplexity", "3", "--k", "2", "--output", "{o}/projection"],
    "leakage": ["leakage", "{d}", "--weights", "{w}", "--join", "{h}/pairs.csv", "--output", "{o}/leakage"],
    "two sets": ["leakage", "{d}", "{h}/others/images.csv", "--output", "{o}/leakage"],
    "cam": ["cam", "{w}", "{h}/two/weights", "{d}", "--limit", "2", "--output", "{o}/cam"],
    "embed": ["embed", "{w}", "{d}", "--output", "{o}/features.npz"],
}  # fmt: skip
LOCAL = ("file", "page", "figure", "points", "output", "folder")  # keys that answer where something was written


def texts(value):
    """Every text in JSON, but for those that say where something was written."""
    if isinstance(value, dict):
        return [text for key, item in value.items() if key not in LOCAL for text in [key, *texts(item)]]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("as_json", [True, False])
def test_no_folder_of_this_machine_is_handed_on(home, tmp_path, kind, as_json):
    places = {"w": home / "one" / "weights", "d": home / "images" / "images.csv", "h": home, "o": tmp_path / "out"}
    (tmp_path / "out").mkdir()
    arguments = [part.format(**places) for part in COMMANDS[kind]] + ["--device", "cpu"]
    with_json = arguments + (["--json"] if as_json else [])
    done = CliRunner().invoke(group, with_json)
    assert done.exit_code in (0, 3), done.output
    if as_json:
        said = texts(json.loads(done.stdout))
    else:  # without the lines that answer where something was written
        said = [line for line in done.stdout.splitlines() if str(tmp_path / "out") not in line]
    for file in (tmp_path / "out").rglob("*"):
        if file.suffix in (".json", ".md", ".csv", ".html", ".svg"):
            said.append(file.read_text())
        elif file.suffix == ".npz":
            said.append(str(np.load(file)["protocol"]))
    assert any("images" in text for text in said), "the last part stays"
    for text in said:
        assert str(home.parent) not in text
        assert str(tmp_path) not in text


def test_weights_of_one_name_are_told_apart(home, tmp_path):
    weights = [str(home / name / "weights") for name in ("one", "two")]
    options = {"freeze": True, "folds": 2, "fractions": (1.0,), "device": "cpu"}
    few = dermssl.fewshot(weights, str(home / "images" / "images.csv"), **options)
    told = json.loads(few.to_json())
    assert told["weights"] == ["one/weights", "two/weights"]
    assert [result["weights"] for result in told["results"]] == ["one/weights", "two/weights"]
    one, two = (reports[0] for reports in few.reports.values())
    difference = dermssl.compare(one, two)
    assert "## two/weights minus one/weights" in difference.to_markdown()
    assert json.loads(difference.to_json())["a"] == "one/weights"
    one.save(tmp_path / "saved")
    again = Report.load(tmp_path / "saved")
    assert (one.weights, again.weights) == (weights[0], "weights")
    assert dermssl.compare(again, two).protocol == {}, "a path that was cut is no difference"


def test_parquet_says_where_its_features_come_from_without_a_path(home, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    dermssl.embed(home / "one" / "weights", home / "images", output=tmp_path / "f.parquet", device="cpu")
    about = json.loads(pq.read_schema(tmp_path / "f.parquet").metadata[b"dermssl"])
    assert (about["weights"], about["data"]) == ("weights", "images")
