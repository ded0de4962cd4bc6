"""What counts as done, and who may do what is not."""

import os
import time

import pytest

from dermssl.errors import DermsslError
from dermssl.paper.cells import DONE, FAILED, Cell, Ledger, Outcome


def test_an_outcome_comes_back_as_written(tmp_path):
    ledger = Ledger(tmp_path)
    assert ledger.outcome("knn/random") is None
    outcome = Outcome(DONE, result={"a": 1.5}, files=(), seconds=2.0, finished=time.time(), hardware="abacus")
    ledger.write("knn/random", outcome)
    assert Ledger(tmp_path).outcome("knn/random") == outcome
    assert ledger.done("knn/random")
    assert not list((tmp_path / "cells" / "knn").glob(".*"))


def test_a_cell_whose_files_are_gone_is_not_done(tmp_path):
    (tmp_path / "there.txt").touch()
    Ledger(tmp_path).write("knn/a", Outcome(DONE, files=("there.txt",)))
    assert Ledger(tmp_path).done("knn/a")
    (tmp_path / "there.txt").unlink()
    assert not Ledger(tmp_path).done("knn/a")


def test_a_damaged_outcome_is_made_again(tmp_path):
    Ledger(tmp_path).write("knn/a", Outcome(DONE))
    for content in ("{", "[]", '{"state": "done"}', '{"state": "done", "files": [], "unknown": 1}'):
        (tmp_path / "cells" / "knn" / "a.json").write_text(content)
        assert Ledger(tmp_path).outcome("knn/a") is None


def test_a_failure_counts_until_the_next_start(tmp_path):
    first = Ledger(tmp_path)
    first.write("knn/a", Outcome(FAILED, "boom", finished=time.time()))
    assert first.settled("knn/a").message == "boom"
    second = Ledger(tmp_path)
    second.started = time.time() + 1
    assert second.settled("knn/a") is None
    assert second.outcome("knn/a").message == "boom"


def test_a_held_cell_is_left_to_its_holder(tmp_path):
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    with first.claimed("knn/a") as mine:
        assert mine
        with second.claimed("knn/a") as also_mine:
            assert not also_mine
        with second.claimed("knn/b") as other:
            assert other
    with second.claimed("knn/a") as now_mine:
        assert now_mine


def test_keys_name_kind_subject_and_share():
    assert Cell("few", "random", {"fraction": 0.01}).key == "few/random-0.01"
    assert Cell("pretrain", "rotinstdisc-lambda-0.5", {"rotation_weight": 0.5}).key == "pretrain/rotinstdisc-lambda-0.5"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.txt", "reports/../../secret.txt", "..", "", "linked.txt", "linked/secret.txt"]
)
def test_only_files_of_the_folder_count_and_are_read(tmp_path, name):
    (tmp_path / "secret.txt").write_text("private")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "linked.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "linked").symlink_to(tmp_path)
    ledger = Ledger(folder)
    ledger.write("knn/a", Outcome(DONE, files=(name,)))
    assert ledger.outcome("knn/a") is None
    with pytest.raises(DermsslError, match="not a file of this folder"):
        ledger.read(name)


@pytest.mark.parametrize("damage", ["", "\0", "[" * 200_000, '{"state": 3}', '"done"', "1e999", '{"state": "\\ud800"}'])
def test_a_cell_damaged_in_any_way_is_made_again(tmp_path, damage):
    Ledger(tmp_path).write("knn/a", Outcome(DONE))
    (tmp_path / "cells" / "knn" / "a.json").write_text(damage)
    assert Ledger(tmp_path).outcome("knn/a") is None


@pytest.mark.parametrize(
    ("key", "result"),
    [
        ("difference/knn-a-minus-b", {}),
        ("difference/knn-a-minus-b", {"metrics": {"accuracy": {"difference": "much", "interval": [0, 1]}}}),
        ("tsne/a", {"purity": {"purity": None}}),
        ("cam/a", {"images": 3}),
    ],
)
def test_a_result_that_a_report_cannot_use_is_made_again(tmp_path, key, result):
    Ledger(tmp_path).write(key, Outcome(DONE, result=result))
    assert Ledger(tmp_path).outcome(key) is None


def test_a_fifo_in_the_place_of_a_cell_is_one_error(tmp_path):
    (tmp_path / "cells" / "knn").mkdir(parents=True)
    os.mkfifo(tmp_path / "cells" / "knn" / "a.json")
    with pytest.raises(DermsslError, match="FIFO"):
        Ledger(tmp_path).outcome("knn/a")
