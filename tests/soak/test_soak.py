"""The soak in small: whatever is damaged or killed, no traceback, no hang, nothing half-written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def soak(output: Path, *words: str) -> dict:
    process = subprocess.run(
        [sys.executable, "-m", "tests.soak", *words, "--output", str(output)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert output.exists(), process.stderr[-2000:]
    return json.loads(output.read_text())["parts"]


def test_each_promise_names_a_test_that_is_there():
    page = (ROOT / "docs" / "measurements" / "reliability.md").read_text()
    rows = [line for line in page.split("## The last soak")[0].splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`((?:tests/[\w/]+\.py)?(?:::\w+)?)`", row)
        assert named, row
        file = ""
        for one in named:
            path, _, test = one.partition("::")
            file = path or file
            text = (ROOT / file).read_text()
            assert not test or f"def {test}(" in text, one


@pytest.mark.slow
def test_damaged_files_are_an_error_or_a_right_result(tmp_path):
    """A fixed number of mutants from a fixed seed: the same on every machine."""
    mutants = soak(tmp_path / "soak.json", "--minutes", "5", "--only", "mutants", "--mutants", "12")["mutants"]
    assert mutants["mutants"] == 12
    assert not [fault for fault in mutants["faults"] if fault["kind"] in ("traceback", "hang")]


@pytest.mark.slow
@pytest.mark.skipif("DERMSSL_SOAK" not in os.environ, reason="kills at random moments; set DERMSSL_SOAK=1 to run them")
def test_a_minute_of_kills(tmp_path):
    kills = soak(tmp_path / "soak.json", "--minutes", "1", "--only", "kills")["kills"]
    assert kills["kills"] > 0
    assert not kills["faults"]


@pytest.mark.slow
@pytest.mark.skipif("DERMSSL_SOAK" not in os.environ, reason="a minute; set DERMSSL_SOAK=1 to run it")
def test_commands_without_a_place_to_print_to_write_their_files(tmp_path):
    found = soak(tmp_path / "soak.json", "--minutes", "0.5", "--only", "streams")["streams"]
    assert found["tried"] > 1
    assert not found["faults"]
