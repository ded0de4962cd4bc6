"""The soak for a minute: whatever is killed or damaged, no traceback, no hang, nothing half-written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_minute_of_the_soak(tmp_path):
    output = tmp_path / "soak.json"
    words = ["--minutes", "1", "--only", "kills", "--only", "mutants", "--output", output]
    process = subprocess.run(
        [sys.executable, "-m", "tests.soak", *map(str, words)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert output.exists(), process.stderr[-2000:]
    parts = json.loads(output.read_text())["parts"]
    assert parts["kills"]["kills"] > 0
    assert parts["mutants"]["mutants"] > 0
    torn = [fault for fault in parts["kills"]["faults"] if "leftovers" not in fault["what"]]
    assert not torn
    grave = [one for one in parts["mutants"]["faults"] if one["kind"] in ("traceback", "hang")]
    assert not grave
