"""What counts as done, and who may do what is not."""

import time

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
