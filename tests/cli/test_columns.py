"""``--label`` and ``--group``: one room for the two options, in every command that reads labelled images."""

import csv
import logging

import numpy as np
import pytest
from click.testing import CliRunner

import dermssl
from dermssl import DermsslError
from dermssl.cli import COMMANDS, group
from dermssl.data.arguments import ColumnOptions
from dermssl.data.prepare import prepare
from dermssl.data.synthetic import write_synthetic

WITH_COLUMNS = ("prepare", "pretrain", "eval-knn", "finetune", "fewshot", "cam", "project", "leakage", "embed")


@pytest.fixture(scope="module")
def renamed(tmp_path_factory):
    """Drawn images whose table has names of its own for the class and the lesion."""
    folder = write_synthetic(tmp_path_factory.mktemp("columns"), images=60, size=32, seed=0)
    (table,) = folder.glob("*.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    lines = ["image,befund,herd", *(f"{row['image_id']},{row['dx']},{row['lesion_id']}" for row in rows)]
    table.unlink()
    (folder / "synthetic.json").unlink(missing_ok=True)
    (folder / "tabelle.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_the_options_are_said_once(name):
    text = " ".join(CliRunner().invoke(group, [name, "--help"]).output.split())
    said = "Column of the data's table that holds the class." in text
    assert said == (name in WITH_COLUMNS)
    assert said == ("--group COLUMN" in text)


def test_cam_takes_each_class_of_the_column_in_turn(renamed):
    plain = dermssl.class_activation("random:test_resnet", renamed, limit=4)
    named = dermssl.class_activation("random:test_resnet", renamed, limit=4, label="befund")
    assert set(plain.images.labels) == {""}
    assert len(set(named.images.labels)) == 4
    assert named.data == str(renamed)
    with pytest.raises(DermsslError, match=r"--label: no such column|--label nothing: no such column"):
        dermssl.class_activation("random:test_resnet", renamed, label="nothing")
    picture = next(renamed.rglob("*.jpg"))
    with pytest.raises(DermsslError, match="is one image, without a table"):
        dermssl.class_activation("random:test_resnet", picture, label="befund")


def test_a_cache_that_is_open_has_its_columns_too(renamed, tmp_path):
    cache = prepare(renamed, tmp_path / "cache", size=32, progress=False)
    assert cache.records.classes == ()
    cam = dermssl.class_activation("random:test_resnet", cache, limit=4, label="befund")
    assert len(set(cam.images.labels)) == 4
    found = dermssl.embed("random:test_resnet", cache, image_size=32, label="befund", group="herd")
    assert len(set(found.labels.tolist())) == 7
    assert "" not in set(found.groups.tolist())
    report = dermssl.evaluate_knn(
        "random:test_resnet", cache, image_size=32, label="befund", group="herd", folds=2, k=5
    )
    assert np.isfinite(report.metrics["accuracy"])


def test_pretrain_evaluates_by_the_columns_named(renamed, tmp_path, caplog):
    options = {"backbone": "test_resnet", "image_size": 32, "batch_size": 16, "epochs": 1, "device": "cpu"}
    named = {"eval_data": str(renamed), "label": "befund", "group": "herd"}
    result = dermssl.pretrain(renamed, tmp_path / "run", **options, **named)
    assert result.history[0]["knn_accuracy"] > 0
    with caplog.at_level(logging.WARNING, "dermssl"):
        dermssl.pretrain(renamed, tmp_path / "other", **options, label="befund", group="herd")
    assert "--label has no effect: no --eval-data" in caplog.text
    assert "--group has no effect: no --eval-data" in caplog.text


def test_there_is_one_class_of_the_two_options():
    from dermssl.evaluation import arguments
    from dermssl.pretraining.config import PretrainConfig

    holders = [
        value
        for value in [*vars(arguments).values(), PretrainConfig]
        if isinstance(value, type)
        and value is not ColumnOptions
        and "label" in getattr(value, "__dataclass_fields__", {})
    ]
    assert len(holders) >= 8
    assert all(issubclass(holder, ColumnOptions) for holder in holders)
    assert not any("label" in vars(holder).get("__annotations__", {}) for holder in holders)
