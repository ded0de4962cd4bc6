"""A page that cannot be written after all: the report has been printed by then."""

import json

import pytest
from click.testing import CliRunner

from dermssl.cli import eval_knn, fewshot, leakage
from dermssl.data.synthetic import write_synthetic
from dermssl.errors import DermsslError

EVALUATION = ["--image-size", "32", "--device", "cpu", "--folds", "2"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return str(write_synthetic(tmp_path_factory.mktemp("synthetic"), images=50, size=40))


def full(*_, **__):
    raise DermsslError("cannot write: No space left on device")


def assert_printed_before_the_error(result, key: str) -> None:
    assert "No space left" in str(result.exception), result.output
    assert key in json.loads(result.stdout)


@pytest.mark.parametrize(
    ("command", "options", "key"),
    [
        (eval_knn.command, ["--k", "5"], "metrics"),
        (fewshot.command, ["--freeze", "--fractions", "0.5"], "results"),
    ],
)
def test_an_evaluation_is_printed_before_its_page_is_written(images, tmp_path, monkeypatch, command, options, key):
    monkeypatch.setattr("dermssl.reporting.page.write_html", full)
    arguments = ["random:test_resnet", images, *EVALUATION, *options, "--json", "--page", str(tmp_path / "x.html")]
    assert_printed_before_the_error(CliRunner().invoke(command, arguments), key)


def test_pairs_are_printed_before_they_are_written(images, tmp_path, monkeypatch):
    monkeypatch.setattr("dermssl.evaluation.leakage.search.write_text", full)
    result = CliRunner().invoke(leakage.command, [images, "--output", str(tmp_path / "out"), "--json"])
    assert_printed_before_the_error(result, "pairs")
