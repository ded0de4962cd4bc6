"""The figures as SVG text: what is in them, the same each time, whatever the names contain."""

import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from dermssl.reporting.figures import Point, against_fraction, estimates, loss_curves
from dermssl.reporting.projection_page import scatter

NAMES = ("random:resnet18", "runs/$odd_{name}$ & <more>", "_older/run", "\u75c5\u53d8")


def texts(svg):
    return [
        "".join(element.itertext()).strip() for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_a_curve_for_each_loss_over_whole_epochs():
    history = [
        {"epoch": e, "loss": 2.0 / e, "loss_rotation": 1.4, "rotation_accuracy": 0.3, "lr": 1} for e in (1, 2, 3)
    ]
    curves = loss_curves(history)
    assert [texts(svg)[-1] for svg, _ in curves] == ["loss", "loss rotation", "rotation accuracy"]
    assert curves[0][1] == "loss over 3 epochs, from 2 to 0.667"
    assert {"1", "2", "3"} <= set(texts(curves[0][0]))
    assert curves == loss_curves(history)


def test_one_epoch_is_enough():
    assert len(loss_curves([{"epoch": 1, "loss": 2.0}])) == 1


def test_estimates_name_every_row():
    rows = [Point(name, 60.0 + i, 58.0, 63.0) for i, name in enumerate(NAMES)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no font here has all the signs of the names
        svg = estimates("accuracy, %", rows, reference=66.9)
    assert set(NAMES) < set(texts(svg))
    assert svg == estimates("accuracy, %", rows, reference=66.9)


@pytest.mark.parametrize("fractions", [(0.01,), (0.01, 0.02, 0.1)])
def test_lines_against_the_labels(fractions):
    series = {name: [Point(name, 60.0, 58.0, 62.0)] * len(fractions) for name in NAMES}
    shown = texts(against_fraction("accuracy, %", fractions, series, reference=[66.9] * len(fractions)))
    assert {*NAMES, "most frequent class", "accuracy, %", "1"} <= set(shown)


def test_a_control_character_is_spelled_out():
    """In a name of a class; no reader takes an SVG that holds one."""
    names = ["a\x1b[31m", "b"]
    assert r"a\x1b[31m (1)" in texts(scatter(np.eye(2), np.arange(2), names))


def test_undefined_figures_leave_a_gap():
    nan = float("nan")
    assert "<svg" in estimates("accuracy, %", [Point("a", nan, nan, nan), Point("b", 1.0, nan, nan)])
