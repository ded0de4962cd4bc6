"""docs/hooks.py: the notebook and the help of the commands as pages, the badge where the repository is known."""

import importlib.util
import inspect
import re
from pathlib import Path

import click
import pytest

import dermssl
from dermssl.cli import COMMANDS, group
from dermssl.methods.registry import METHODS
from dermssl.pretraining.config import own_options

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


def test_every_option_of_a_pretraining_is_on_the_page_with_its_value_in_each_recipe(hooks):
    page = hooks.on_page_markdown((ROOT / "docs" / "reference" / "configuration.md").read_text())
    rows = {cells[1].strip("` "): cells for cells in (line.split("|") for line in page.splitlines()) if len(cells) > 5}
    command = group.get_command(None, "pretrain")
    options = {each.name for each in command.params if isinstance(each, click.Option)}
    assert options - {"output", "resume", "as_json", "quiet", "verbose"} <= set(rows)
    assert [cell.strip() for cell in rows["lr"][3:6]] == ["`0.06`", "`0.001`", ""]
    assert [cell.strip() for cell in rows["image_size"][3:6]] == ["the backbone's own", "", "`224`"]
    for name in METHODS:
        for option in own_options(name).__dataclass_fields__:
            assert f"| {name} | `{option}` |" in page


def test_a_call_is_shown_with_its_options():
    griffe = pytest.importorskip("griffe")
    extensions = griffe.load_extensions(str(ROOT / "docs" / "calls.py"))
    module = griffe.load("dermssl.evaluation.knn", search_paths=[ROOT], extensions=extensions)
    shown = module["evaluate_knn"]
    assert [each.name for each in shown.parameters] == list(inspect.signature(dermssl.evaluate_knn).parameters)
    assert str(shown.parameters["k"].default) == "100"
    assert "k: Number of neighbours that vote.\n" in shown.docstring.value
    assert "by: Columns of DATA" in shown.docstring.value
