"""Tables, page and JSON from hand-made reports: nothing is trained here."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermssl.evaluation.compare import compare
from dermssl.evaluation.intervals import bootstrap, interval
from dermssl.evaluation.metrics import METRICS, classification_metrics
from dermssl.evaluation.predictions import Predictions
from dermssl.evaluation.report import Report
from dermssl.paper.cells import DONE, FAILED, UNAVAILABLE, Ledger, Outcome
from dermssl.paper.plan import make_plan
from dermssl.paper.report import write_report
from dermssl.paper.settings import Settings, make_request
from dermssl.paper.shown import verdict
from dermssl.paper.values import Estimate, Lead

CLASSES = ("mel", "nv")
ROWS = ["random", "imagenet", "moco", "rotinstdisc"]
SETTINGS = Settings(queue_size=16, image_size=32, epochs=1, batch_size=4, k=3)


def hand_made(right: int, kind: str = "knn", weights: str = "w") -> Report:
    """A report of 20 images in two folds, of which the first ``right`` were named right."""
    labels = np.tile([0, 1], 10)
    answers = np.where(np.arange(20) < right, labels, 1 - labels)
    probabilities = np.eye(2)[answers] * 0.8 + 0.1
    names = np.array([f"image{i:02d}" for i in range(20)])
    predictions = Predictions(names, names, np.repeat([0, 1], 10), labels, answers, probabilities, CLASSES)
    parts = [
        classification_metrics(labels[rows], probabilities[rows], CLASSES) for rows in (slice(0, 10), slice(10, 20))
    ]
    samples = bootstrap(predictions, resamples=50)
    return Report(
        kind=kind,
        weights=weights,
        data="hand made",
        protocol={"evaluation": kind},
        classes=CLASSES,
        metrics={name: float(np.mean([part[name] for part in parts])) for name in METRICS},
        std=dict.fromkeys(METRICS, 0.0),
        interval={name: interval(samples[name]) for name in METRICS},
        majority_accuracy=0.5,
        per_class={},
        confusion=[[0, 0], [0, 0]],
        folds=[{"fold": fold, **part} for fold, part in enumerate(parts)],
        records={},
        split={},
        versions={"dermssl": "0"},
        predictions=predictions,
    )


def write_settings(folder: Path, resolved: dict[str, Any]) -> None:
    data = {"source": "somewhere", "images": 20, "labelled": 20, "content_hash": "0" * 64}
    folder.mkdir(parents=True, exist_ok=True)
    content = {"asked": resolved, "resolved": resolved, "data": {"pretrain": data, "eval": data}}
    (folder / "settings.json").write_text(json.dumps(content))


@pytest.fixture
def done(tmp_path):
    """A reproduction of Tables 1, 3 and 5 in which random has 8, MoCo 12 and ours 16 of 20 right."""
    ledger = Ledger(tmp_path)
    write_settings(tmp_path, asdict(SETTINGS))
    plan = make_plan(make_request(ROWS, [1, 3, 5], None), SETTINGS, images=600, known=ROWS)
    reports = {"random": 8, "moco": 12, "rotinstdisc": 16, "rotinstdisc-lambda-0": 10}
    reports = {name: hand_made(right) for name, right in reports.items()}
    for name, report in reports.items():
        report.save(ledger.report(f"knn/{name}"))
        ledger.write(f"knn/{name}", Outcome(DONE, files=(f"reports/knn/{name}.json",), seconds=1.0, hardware="abacus"))
    for cell in plan.cells.values():
        if cell.kind == "difference" and {cell.options["of"], cell.options["minus"]} <= set(reports):
            found = compare(reports[cell.options["minus"]], reports[cell.options["of"]], resamples=50)
            metrics = {
                name: {"difference": value, "interval": found.interval[name]}
                for name, value in found.difference.items()
                if value == value
            }
            ledger.write(cell.key, Outcome(DONE, result={"metrics": metrics}))
    ledger.write("weights/imagenet", Outcome(UNAVAILABLE, "no network", finished=time.time()))
    ledger.write("pretrain/rotinstdisc-queue-128", Outcome(FAILED, "boom", finished=time.time()))
    return ledger, plan


def test_values_stand_beside_the_papers(done):
    report = write_report(*done)
    found = {(v.table, v.subject, v.metric): v for v in report.values}
    ours = found[1, "rotinstdisc", "accuracy"]
    assert ours.paper == 74.55
    assert ours.paper_gain == pytest.approx(6.29)
    assert ours.ours.value == pytest.approx(80)
    assert ours.ours.low < 80 < ours.ours.high
    assert ours.gain.value == pytest.approx(40)
    assert ours.gain.low <= 40 <= ours.gain.high
    assert ours.majority == 50
    assert found[1, "random", "accuracy"].gain is None
    assert found[1, "random", "accuracy"].paper_gain is None
    assert found[3, "rotinstdisc", "accuracy"].ours == ours.ours
    assert found[5, "rotinstdisc-queue-128", "accuracy"].paper_gain == pytest.approx(73.65 - 68.26)


def test_the_instance_row_is_averaged_over_classes(done):
    """10 of 20 right in one fold each: weighted and macro averages differ from the hand-made row's accuracy."""
    ledger, plan = done
    report = write_report(ledger, plan)
    stored = json.loads(ledger.report("knn/rotinstdisc-lambda-0").read_text())["metrics"]
    found = {v.metric: v for v in report.values if v.table == 3 and v.subject == "rotinstdisc-lambda-0"}
    assert found["f1"].ours.value == pytest.approx(100 * stored["f1_macro"])
    assert found["f1"].paper == 26.79
    assert found["f1"].paper_gain is None
    assert found["recall"].paper_gain == pytest.approx(26.50 - 15.08)


def test_rows_without_a_figure_say_why(done):
    report = write_report(*done)
    notes = {v.subject: v.note for v in report.values if v.metric == "accuracy"}
    assert notes["imagenet"] == "not available: no network"
    assert notes["rotinstdisc-queue-128"] == "pretrain of rotinstdisc-queue-128 failed: boom"
    assert notes["rotinstdisc-queue-512"] == "not run yet"
    assert "a queue of 16384 is never full, as a run makes 600 keys" in notes["rotinstdisc-queue-16384"]
    assert notes["moco"] == ""
    assert report.failed == ("pretrain/rotinstdisc-queue-128",)


def test_markdown_page_and_json_hold_the_same(done):
    ledger, plan = done
    report = write_report(ledger, plan)
    text, html = ((ledger.folder / name).read_text() for name in ("report.md", "report.html"))
    assert text == report.to_markdown() + "\n"
    row = next(line for line in text.splitlines() if line.startswith("| RotInstDisc (this paper)"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == ["74.55", "80.00"]
    assert cells[4:6] == ["+6.29", "+40.00"]
    assert "(most frequent class)" in text
    assert "not available: no network" in text
    assert "ahead" in text
    for said in ("74.55", "80.00", "+40.00", "no network", "boom", "abacus", "not run yet"):
        assert said in text
        assert said in html
    values = json.loads((ledger.folder / "report.json").read_text())
    assert values["failed"] == ["pretrain/rotinstdisc-queue-128"]
    assert len(values["values"]) == len(report.values) == 4 * 4 + 2 * 4 + 7
    assert values["budget"]["resolved"]["epochs"] == 1


def test_a_message_of_several_lines_stays_in_its_row(done):
    ledger, plan = done
    ledger.write("pretrain/rotinstdisc-queue-512", Outcome(FAILED, "one\ntwo | three\n", finished=time.time()))
    text = write_report(ledger, plan).to_markdown()
    (row,) = (line for line in text.splitlines() if line.startswith("| pretrain/rotinstdisc-queue-512"))
    assert row.endswith(r"one two \| three |")


def test_the_verdict_follows_the_interval(done):
    report = write_report(*done)
    found = {(lead.table, lead.rival, lead.metric): lead for lead in report.leads}
    lead = found[1, "MoCo", "accuracy"]
    assert lead.paper == pytest.approx(74.55 - 72.75)
    assert lead.ours.value == pytest.approx(20)
    assert found[1, "ImageNet (supervised)", "accuracy"].note == "not available: no network"
    for low, high, said in [(0.1, 2, "ahead"), (-2, -0.1, "behind"), (-1, 1, "not told apart")]:
        assert verdict(Lead(1, "KNN", "x", "accuracy", 1.0, Estimate(0.0, low, high), "")) == said
    assert verdict(Lead(1, "KNN", "x", "accuracy", 1.0, None, "knn of x failed: boom")) == "failed"
