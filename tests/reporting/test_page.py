"""The HTML page: self-contained, escaped, rendered by a real browser where there is one."""

import re

import numpy as np
import pytest

from dermssl.reporting import page
from dermssl.reporting.figures import loss_curves

HISTORY = [
    {"epoch": e, "loss": 8 - e, "loss_instance": 7 - e, "loss_rotation": 1.3, "rotation_accuracy": 0.25 + e / 100}
    for e in range(1, 6)
]
RED = np.full((8, 8, 3), (200, 30, 30), np.uint8)
LONG = "/a/folder/with/a/name/that/no/phone/has/room/for/" + "x" * 60


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.html"
    red = page.Picture(RED, "red", "cap", marked=True)
    page.write_html(
        path,
        "A <report> & more",
        "The lead.",
        [
            ("Pictures", [page.picture_rows([("row", [red] * 7)], "Some red")]),
            ("Figure", [page.plots(loss_curves(HISTORY), "Losses over epochs")]),
            ("Table", [page.table(["%", "a", LONG], [["accuracy", "70.1", "60.0"]], "Caption <1>")]),
            ("Matrix", [page.matrix([[9, 1], [0, 1200]], ["mel", "nv"], "Confusions", corner="class")]),
            ("Words", [page.prose("a < b"), page.code(f"dermssl demo {LONG} && echo '<done>'")]),
        ],
    )
    return path


def test_nothing_is_fetched(report):
    text = report.read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "url(" not in text
    assert "<script" not in text
    assert "default-src 'none'; img-src data:" in text


def test_text_is_escaped(report):
    text = report.read_text()
    assert "A &lt;report&gt; &amp; more" in text
    assert "Caption &lt;1&gt;" in text
    assert "a &lt; b" in text
    assert "<done>" not in text


def test_images_have_a_text_and_tables_have_headers(report):
    text = report.read_text()
    images = re.findall(r"<img[^>]*>", text)
    assert len(images) == 7 + 4
    assert all(re.search(r'alt="[^"]+"', image) for image in images)
    assert '<th scope="row">accuracy</th>' in text
    assert '<th scope="col" class="number">a</th>' in text
    assert "loss instance over 5 epochs, from 6 to 2" in text


def test_the_matrix_is_shaded_by_the_share_of_the_row(report):
    shades = re.findall(r"rgb\(0 114 178 / ([\d.]+)\)\">([\d,]+)<", report.read_text())
    assert shades == [("0.540", "9"), ("0.060", "1"), ("0.000", "0"), ("0.600", "1,200")]


def test_a_row_without_images_in_the_matrix():
    assert "0.000" in page.matrix([[0, 0], [1, 1]], ["a", "b"], "Confusions")


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_it(report, browser, dark):
    pixels = browser.screenshot(report, width=1200, dark=dark)
    background = pixels[:, 5].mean()
    assert background < 60 if dark else background > 240
    assert (abs(pixels - (200, 30, 30)).sum(2) < 30).sum() > 7000, "the pictures are not on the page"
    assert (abs(pixels - (0, 0x72, 0xB2)).sum(2) < 60).sum() > 20, "the curve is not on the page"


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 800])
def test_nothing_is_wider_than_the_screen(report, browser, width):
    assert browser.width_needed(report, width=width) <= width
