"""Evaluations as a page, from what the reports' JSON holds."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dermssl.errors import DermsslError
from dermssl.evaluation.fewshot import fewshot
from dermssl.evaluation.knn import evaluate_knn
from dermssl.reporting.pages import write_page

WEIGHTS = ("random:test_resnet", "random:mobilenetv3_small_050")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder per class, of noise on two colours."""
    folder, generator = tmp_path_factory.mktemp("images") / "skin & <more>", np.random.default_rng(0)
    for name, colour, count in (("mel", 90, 18), ("nv", 150, 30)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.normal(colour, 40, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def reports(images):
    options = {"k": 5, "folds": 3, "image_size": 32, "device": "cpu"}
    return [evaluate_knn(weights, images, **options) for weights in WEIGHTS]


def test_one_report(reports, tmp_path):
    path = tmp_path / "knn.html"
    write_page(reports[0], path)
    text = path.read_text()
    assert "<title>skin &amp; &lt;more&gt;: nearest neighbours</title>" in text
    report = json.loads(reports[0].to_json())
    low, high = report["interval"]["accuracy"]
    assert f"{100 * report['metrics']['accuracy']:.2f} [{100 * low:.1f},\u00a0{100 * high:.1f}]" in text
    assert f"{100 * report['majority_accuracy']:.2f}" in text
    assert [int(n) for n in re.findall(r'178 / [\d.]+\)">(\d+)<', text)] == [
        n for row in report["confusion"] for n in row
    ]
    for parameter in ("k", "content hash", "image size", "groups cut", "version of torch"):
        assert f'<th scope="row">{parameter}</th>' in text
    for fold in report["folds"]:
        assert f"{100 * fold['recall_macro']:.2f}" in text
    assert "every image is its own group" in text  # the report's note
    assert "<img" not in text


def test_several_reports_stand_side_by_side(reports, tmp_path, browser):
    path = tmp_path / "knn.html"
    write_page(reports, path)
    text = path.read_text()
    assert text.count("<img") == 2
    for weights in WEIGHTS:
        assert f'<th scope="col" class="number">{weights}</th>' in text
    assert text.count("every image is its own group") == 1
    assert browser.width_needed(path, width=360) <= 360


def test_reports_of_other_folds_are_not_told_of_as_one(reports, images, tmp_path):
    other = evaluate_knn(WEIGHTS[1], images, test=images, k=5, image_size=32, device="cpu")
    other = replace(other, majority_accuracy=0.25)
    write_page([reports[0], other], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Mean over the folds of each, or its test set, with its 95 % interval" in text
    assert f"is right for 25.0 to {100 * reports[0].majority_accuracy:.1f} %." in text
    assert "Dashed" not in text
    write_page([reports[0], reports[0]], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Mean of 3 folds, with its 95 % interval" in text
    assert f"is right for {100 * reports[0].majority_accuracy:.1f} %." in text
    assert "Dashed: always predicting the most frequent class." in text


def test_undefined_figures_are_dashes(reports, tmp_path):
    nan = float("nan")
    report = replace(
        reports[0],
        metrics={**reports[0].metrics, "f1_macro": nan},
        interval={**reports[0].interval, "f1_macro": (nan, nan)},
    )
    write_page([report, reports[1]], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert '<th scope="row">F1, macro</th><td class="number">–</td>' in text
    assert "nan" not in re.sub('data:[^"]*', "", text).lower().replace("always naming", "")


def test_the_same_weights_evaluated_twice_are_told_apart(reports, tmp_path):
    write_page([reports[0], replace(reports[0], kind="frozen")], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert f"{WEIGHTS[0]}, nearest neighbours" in text
    assert f"{WEIGHTS[0]}, a linear classifier on frozen features" in text


def test_few_labels(images, tmp_path, browser):
    result = fewshot(
        WEIGHTS, images, fractions=(0.2, 0.5), folds=3, freeze=True, image_size=32, device="cpu", output=None
    )
    path = tmp_path / "few.html"
    values = json.loads(result.to_json())
    write_page(result, path)
    text = path.read_text()
    assert text.count("<img") == 2
    for report in values["results"]:
        assert f"{100 * report['metrics']['recall_macro']:.2f}" in text
    assert "20 to 50 %" in text
    assert '<th scope="row">split</th><td class="words">lesion</td>' in text
    assert '<th scope="row">fraction</th>' not in text  # it moves with the column
    assert browser.width_needed(path, width=360) <= 360


def test_no_page_tells_where_things_lie(reports, tmp_path):
    report = replace(
        reports[0],
        weights="/home/me/secret project/runs/r18",
        data="/home/me/patients/HAM10000",
        protocol={**reports[0].protocol, "test": "/home/me/patients/test set"},
        notes=("3 images of /home/me/patients/HAM10000/a.csv (and /srv/x) are left out\x1b[2J",),
    )
    other = replace(report, weights="/home/me/secret project/old/r18")
    [path] = write_page([report, other], tmp_path / "page.html")
    text = path.read_text()
    assert "/home" not in text
    assert "secret" not in text
    assert "/srv" not in text
    assert "3 images of a.csv (and x) are left out\\x1b[2J" in text
    assert ">runs/r18<" in text
    assert ">old/r18<" in text
    assert ">test set<" in text


def test_what_is_no_result_is_refused(tmp_path):
    for wrong in ([], ["report.json"], "report.json", None):
        with pytest.raises(DermsslError, match="write_page: give a result"):
            write_page(wrong, tmp_path / "x.html")
