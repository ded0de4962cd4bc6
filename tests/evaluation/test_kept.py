"""A fine-tuning that was stopped goes on after its last whole fold, to the bit."""

import logging

import numpy as np
import pytest

from dermssl.data.prepare import user_folder
from dermssl.evaluation.finetune import finetune
from dermssl.evaluation.kept import KeptFolds
from dermssl.evaluation.transfer import Transfer

OPTIONS = {"folds": 3, "image_size": 32, "device": "cpu", "epochs": 1}


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def trained(monkeypatch):
    """Titles of the trainings that were made; the one named in ``stop`` is killed."""
    genuine = Transfer._fit

    class Titles(list):
        stop = None

    titles = Titles()

    def fit(self, *args, title, **kwargs):
        if title == titles.stop:
            raise Killed
        titles.append(title)
        return genuine(self, *args, title=title, **kwargs)

    monkeypatch.setattr(Transfer, "_fit", fit)
    return titles


def stopped(trained, labelled):
    trained.stop = "fold 3 of 3"
    with pytest.raises(Killed):
        finetune("random:test_resnet", labelled, **OPTIONS)
    trained.stop = None
    trained.clear()


def kept():
    return sorted(path.name for path in (user_folder() / "folds").rglob("fold-*"))


def test_it_goes_on_after_the_last_whole_fold_and_says_the_same(labelled, trained, caplog):
    unbroken = finetune("random:test_resnet", labelled, **OPTIONS)
    assert not kept()
    stopped(trained, labelled)
    assert kept() == ["fold-1", "fold-2"]
    with caplog.at_level(logging.INFO, "dermssl"):
        report = finetune("random:test_resnet", labelled, **OPTIONS)
    assert trained == ["fold 3 of 3"]
    assert caplog.text.count("kept when this command was stopped") == 2
    assert report.to_json() == unbroken.to_json()
    assert np.array_equal(report.predictions.probabilities, unbroken.predictions.probabilities)
    assert not kept()


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"epochs": 2}, {"fraction": 0.5}, {"image_size": 40}, {"recipe": "paper"}, {"folds": 4}]
)
def test_another_command_starts_from_the_first_fold(labelled, trained, other):
    stopped(trained, labelled)
    finetune("random:test_resnet", labelled, **{**OPTIONS, **other})
    assert trained[0].startswith("fold 1 of ")
    assert kept() == ["fold-1", "fold-2"]


def test_other_weights_start_from_the_first_fold(labelled, trained):
    stopped(trained, labelled)
    finetune("random:resnet10t", labelled, **OPTIONS)
    assert len(trained) == 3


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"no array"])
def test_a_damaged_answer_is_made_again(labelled, trained, damage):
    unbroken = finetune("random:test_resnet", labelled, **OPTIONS)
    stopped(trained, labelled)
    next((user_folder() / "folds").rglob("fold-1")).write_bytes(damage)
    assert finetune("random:test_resnet", labelled, **OPTIONS).to_json() == unbroken.to_json()
    assert trained == ["fold 1 of 3", "fold 3 of 3"]


def test_any_altered_byte_is_noticed():
    folds = KeptFolds("1" * 64)
    folds.write(1, np.arange(6.0).reshape(3, 2))
    file = folds.folder / "fold-1"
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert folds.read(1, (3, 2)) is None
    for damaged in (whole[:-1], whole + b"0"):
        file.write_bytes(damaged)
        assert folds.read(1, (3, 2)) is None
    file.write_bytes(whole)
    assert np.array_equal(folds.read(1, (3, 2)), np.arange(6.0).reshape(3, 2))


def test_answers_of_another_shape_or_not_finite_are_none():
    folds = KeptFolds("0" * 64)
    folds.write(1, np.ones((3, 2)))
    assert np.array_equal(folds.read(1, (3, 2)), np.ones((3, 2)))
    assert folds.read(1, (2, 3)) is None
    folds.write(1, np.full((3, 2), np.nan))
    assert folds.read(1, (3, 2)) is None
    assert folds.read(2, (3, 2)) is None


def test_frozen_features_and_a_single_division_keep_nothing(labelled, other, trained, monkeypatch):
    monkeypatch.setattr(KeptFolds, "write", lambda *_: pytest.fail("kept"))
    finetune("random:test_resnet", labelled, freeze=True, **{k: v for k, v in OPTIONS.items() if k != "epochs"})
    finetune("random:test_resnet", labelled, test=other, **OPTIONS)


def test_a_disk_that_takes_nothing_is_said_and_costs_no_result(labelled, tmp_path, caplog):
    finetune("random:test_resnet", labelled, **OPTIONS)  # the images are in the cache now
    (user_folder() / "folds").rmdir()
    (user_folder() / "folds").write_text("in the way")
    report = finetune("random:test_resnet", labelled, **OPTIONS)
    assert len(report.predictions) == 75
    assert "a fold's answers cannot be kept" in caplog.text
