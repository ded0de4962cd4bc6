"""Examples are short enough to be read at a glance."""

from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.*"))


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.suffix != ".ipynb"], ids=lambda path: path.name)
def test_an_example_has_less_than_forty_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40
    assert path.suffix == ".py"
