"""The figure of few labels names all weights, whatever they are called."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from dermssl.evaluation.fewshot import FewShot
from dermssl.evaluation.knn import evaluate_knn

NAMES = ("run$1_$2", "_older/run", "random:test_resnet")


@pytest.fixture
def result(labelled):
    report = evaluate_knn("random:test_resnet", labelled, k=5, folds=3, image_size=32, device="cpu")
    report = replace(report, protocol={**report.protocol, "fraction": 0.5}, predictions=None)
    return FewShot((0.5,), dict.fromkeys(NAMES, (report,)))


def test_every_set_of_weights_has_its_line_in_the_legend(result, tmp_path):
    result.save(tmp_path)
    assert (tmp_path / "fewshot.json").is_file()
    text = (tmp_path / "fewshot.svg").read_text()
    ET.fromstring(text)
    # letters are drawn as paths, and each text stands beside them as a comment
    assert all(f"<!-- {name} -->" in text for name in (*NAMES, "most frequent class"))
