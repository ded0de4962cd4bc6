"""The notebook runs from top to bottom, and is kept with what it printed and drew."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_backbone.ipynb"


def test_outputs_are_kept_and_none_is_an_error():
    nbformat = pytest.importorskip("nbformat")
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))  # in one go
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) == 3
    assert any("points (95 % interval +" in output.get("text", "") for output in outputs)  # the gain is beyond doubt
    assert not any(output.output_type == "error" for output in outputs)
    assert not [word for word in ("/opt/", "/home/", "/root/") if word in NOTEBOOK.read_text(encoding="utf-8")]


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    text = NOTEBOOK.read_text(encoding="utf-8")
    small = text.replace("NUMBER, EPOCHS = 1000, 14", "NUMBER, EPOCHS = 160, 1")
    small = small.replace("image_size=48", "image_size=32").replace("queue_size=512", "queue_size=64")
    assert small != text
    notebook = nbformat.reads(small, 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert (tmp_path / "runs" / "first" / "backbone" / "model.safetensors").exists()
