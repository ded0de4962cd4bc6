"""The HTML page: self-contained, escaped, rendered by a real browser where there is one."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from dermssl.reporting import page
from dermssl.reporting.figures import loss_curve

HISTORY = [
    {"epoch": e, "loss": 8 - e, "loss_instance": 7 - e, "loss_rotation": 1.3, "rotation_accuracy": 0.25 + e / 100}
    for e in range(1, 6)
]
RED = np.full((8, 8, 3), (200, 30, 30), np.uint8)


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.html"
    page.write_page(
        path,
        "A <report> & more",
        "The lead.",
        [
            ("Table", [page.table(["%", "a", "b"], [["accuracy", "70.1", "60.0"]], "Caption <1>")]),
            ("Figure", [page.plot(loss_curve(HISTORY), "losses", "Losses over epochs")]),
            ("Pictures", [page.picture_rows([("row", [page.Picture(RED, "red", "cap", marked=True)])], "Some red")]),
            ("Words", [page.prose("a < b"), page.code("dermssl demo && echo '<done>'")]),
        ],
    )
    return path


def test_nothing_is_fetched(report):
    text = report.read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "url(" not in text
    assert "<script" not in text


def test_text_is_escaped(report):
    text = report.read_text()
    assert "A &lt;report&gt; &amp; more" in text
    assert "Caption &lt;1&gt;" in text
    assert "a &lt; b" in text
    assert "<done>" not in text


def test_images_have_a_text_and_tables_have_headers(report):
    text = report.read_text()
    images = re.findall(r"<img[^>]*>", text)
    assert len(images) == 2
    assert all(re.search(r'alt="[^"]+"', image) for image in images)
    assert '<th scope="row">accuracy</th>' in text


def test_the_curve_is_the_same_each_time_and_shows_every_loss():
    svg = loss_curve(HISTORY)
    assert svg == loss_curve(HISTORY)
    for title in ("loss instance", "loss rotation", "rotation accuracy", "epoch"):
        assert title in svg


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian package chromium is not installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_it(report, tmp_path, width):
    shot = tmp_path / "shot.png"
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}",
         f"--window-size={width},1400", f"--screenshot={shot}", report.as_uri()],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert pixels.shape[1] == width
    red = (abs(pixels - (200, 30, 30)).sum(2) < 30).sum()
    assert red > 1000, "the picture is not on the page"
    blue = (abs(pixels - (0, 0x72, 0xB2)).sum(2) < 60).sum()
    assert blue > 20, "the curve is not on the page"
