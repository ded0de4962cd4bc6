"""docs/hooks.py: the notebook and the help of the commands as pages, the badge where the repository is known."""

import importlib.util
import re
from pathlib import Path

import pytest

from dermssl.cli import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_cell_is_on_the_page_with_what_it_gave(hooks, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    outputs = [
        {"text": ["47.2%\n"]},
        {"data": {"image/png": "AAAA\n", "text/plain": "<Figure>"}},
        {"data": {"text/plain": ["512"]}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["1 + 1"], "outputs": outputs},
    ]
    title, badge, code, *shown = hooks.blocks({"cells": cells})
    assert (title, code) == ("# Title\ntext", "```python\n1 + 1\n```")
    assert "colab" not in badge
    assert "47.2%" in shown[0]
    assert shown[1].endswith("(data:image/png;base64,AAAA)")
    assert "512" in shown[2]
    monkeypatch.setenv("GITHUB_REPOSITORY", "org/name")
    assert f"/github/org/name/blob/main/{hooks.NOTEBOOK})" in hooks.badge()


def test_the_help_of_every_command_is_on_the_page(hooks):
    page = hooks.on_page_markdown("<!-- commands -->")
    for name in COMMANDS:
        assert f"## {name}\n\n```text\ndermssl {name} " in page
    assert "UNSET" not in page
    assert re.search(r"\n`--k INTEGER`\n: +\S.*\[default: 100\]\n", page)
