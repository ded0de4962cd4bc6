"""Headless Chromium, where it is installed."""

import html
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image


class Browser:
    def __init__(self, folder):
        self.folder = folder

    def _run(self, *arguments):
        command = [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--no-first-run",
            f"--user-data-dir={self.folder / 'profile'}", *arguments,
        ]  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, timeout=120, text=True).stdout

    def screenshot(self, page, *, width, height=1400, dark=False):
        """(height, width, 3) int pixels of the page as it opens from disk."""
        shot = self.folder / "shot.png"
        scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        self._run(*scheme, f"--window-size={width},{height}", f"--screenshot={shot}", page.as_uri())
        return np.asarray(Image.open(shot).convert("RGB")).astype(int)

    def width_needed(self, page, *, width):
        """Pixels that the page takes sideways on a screen of ``width``: in a frame, as no window is as narrow as a
        phone."""
        wrapper = self.folder / "wrapper.html"
        wrapper.write_text(
            '<!doctype html><meta charset="utf-8"><iframe style="border:0;height:900px" '
            f'width="{width}" srcdoc="{html.escape(page.read_text(encoding="utf-8"))}" '
            "onload=\"document.title = 'width ' + this.contentDocument.documentElement.scrollWidth\"></iframe>",
            encoding="utf-8",
        )
        dom = self._run("--virtual-time-budget=3000", "--dump-dom", wrapper.as_uri())
        return int(re.search(r"<title>width (\d+)", dom).group(1))


@pytest.fixture
def browser(tmp_path):
    if shutil.which("chromium") is None:
        pytest.skip("Debian package chromium is not installed")
    return Browser(tmp_path)
