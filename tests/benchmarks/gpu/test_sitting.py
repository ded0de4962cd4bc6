"""Each call of the sitting runs, in miniature, from a folder that holds only what may travel to the card."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dermssl.data.synthetic import write_synthetic

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
IN_CHECKOUT = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout: nothing says what travels")


def run(command: list[str], folder: Path, environment: dict[str, str], seconds: int = 1800) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def script(name: str, *arguments: Path | str, status: int = 0) -> str:
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def drawn_travel(folder: Path) -> Path:
    """A tar in the layout of travel_160.tar, of drawn images."""
    travel = folder / "travel_160"
    for name in ("ham10000", "isic_pool"):
        write_synthetic(travel / name, images=70, size=40, seed=len(name))
        for picture in (travel / name / "HAM10000_images").glob("*.jpg"):
            stem = picture.stem if name == "ham10000" else f"POOL{picture.stem}"
            Image.open(picture).save(picture.with_name(f"{stem}.webp"))
            picture.unlink()
    pool = travel / "isic_pool"
    (pool / "HAM10000_images").rename(pool / "images")
    (pool / "HAM10000_metadata.csv").unlink()
    lines = [f"images/{picture.name},,original\n" for picture in sorted((pool / "images").iterdir())]
    (pool / "metadata.csv").write_text("image,label,framing\n" + "".join(lines))
    with tarfile.open(folder / "travel_160.tar", "w") as tar:
        tar.add(travel, arcname="travel_160")
    return folder / "travel_160.tar"


@pytest.fixture(scope="module")
def card(tmp_path_factory) -> Path:
    """What lies on the card when a call begins."""
    folder = tmp_path_factory.mktemp("card")
    wheels = folder / "wheels"  # none: what a wheel would bring is installed where the tests run
    wheels.mkdir()
    tree = folder / "tree"
    script("pack.py", drawn_travel(folder), "--wheels", wheels, "--into", tree)
    assert not (tree / "hub").exists()
    assert not (tree / ".git").exists()
    return tree


def called(card: Path, name: str, call: str) -> tuple[dict[str, Any], str]:
    """Run a call as on the card, with nothing of this checkout on its path; what it wrote and printed."""
    output = card.parent / "out"
    own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DERMSSL_CACHE")}
    environment = {**own, "PYTHON": sys.executable, "SITTING": str(card.parent / "work"), "OUT": str(output)}
    printed = run(["bash", "tests/benchmarks/gpu/call.sh", name, "--tiny", "--minutes", "30"], card, environment)
    found = json.loads((output / f"{call}.json").read_text())
    assert "miniature" in found
    assert "figures mean nothing" in printed
    broken = {row: cells for row, cells in found["rows"].items() if {"failed", "left out"} & cells.keys()}
    assert not broken
    return found, printed


@IN_CHECKOUT
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_steps_are_measured_against_their_floor(card):
    found, printed = called(card, "step.py", "step")
    rows = found["rows"]
    for kind in ("eager, bare", "eager", "eager, replayed", "compiled, bare", "compiled", "compiled, replayed"):
        assert rows[f"32 px, {kind}"]["images_per_second"] > 0
    assert rows["32 px, eager"]["waits"] == rows["32 px, compiled"]["waits"] == 0
    assert rows["tests"]["passed"] + rows["tests"]["skipped"] > 3
    floor = rows["32 px, floor"]
    assert floor["milliseconds"] >= max(floor["milliseconds_of_arithmetic"], floor["milliseconds_of_bandwidth"]) > 0
    assert "| 32 px, compiled, replayed |" in printed
    assert "33,126 images x 200 epochs at 224 px, extrapolated (the aim is 25 minutes): not measured" in printed


@IN_CHECKOUT
@pytest.mark.slow
def test_lightly_is_measured_on_the_same_images(card):
    pytest.importorskip("lightly")
    found, printed = called(card, "ours_and_lightly.py", "lightly")
    rows = found["rows"]
    for name in ("lightly, fp32", "lightly, same precision", "dermssl"):
        assert rows[f"32 px, {name}"]["images_per_second"] > 0
    assert "| 32 px, lightly as documented |" in printed


@IN_CHECKOUT
@pytest.mark.slow
def test_weights_come_back_in_parts_and_are_used_for_the_folds(card, tmp_path):
    found, _ = called(card, "weights.py", "weights")
    assert found["rows"]["pretraining"]["images"] == 140
    assert 0 < found["rows"]["frozen"]["macro_recall"] <= 1
    output = card.parent / "out"
    assert all(file.stat().st_size < 16 * 2**20 for file in output.iterdir())
    assert len(list(output.iterdir())) <= 8
    script("parts.py", "join", output / "weights.tar.parts.json", tmp_path / "weights.tar")
    with tarfile.open(tmp_path / "weights.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    assert (tmp_path / "weights" / "evaluations" / "knn.json").exists()
    from dermssl import load_backbone

    assert load_backbone(tmp_path / "weights" / "backbone").num_features > 0
    folds, printed = called(card, "folds.py", "folds")
    assert folds["rows"]["fine-tuned"]["weights"] == "of (c)"
    assert folds["rows"]["fine-tuned"]["images_per_second"] > 0
    assert "| fine-tuned | of (c) |" in printed


@IN_CHECKOUT
@pytest.mark.slow
def test_methods_have_the_same_time(card):
    found, printed = called(card, "methods.py", "methods")
    assert list(found["rows"]) == ["rotinstdisc", "moco", "simclr", "byol"]
    assert all(0 < row["accuracy"] <= 1 for row in found["rows"].values())
    assert "| byol |" in printed


@IN_CHECKOUT
def test_more_than_may_travel_is_refused(tmp_path):
    large = tmp_path / "travel_160.tar"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)  # a hole: no disk is used
    (tmp_path / "wheels").mkdir()
    said = script("pack.py", large, "--wheels", tmp_path / "wheels", "--into", tmp_path / "tree", status=1)
    assert "are more than the 64 that may travel; largest in the checkout is " in said


def test_parts_are_the_file_again_and_damage_is_named(tmp_path):
    file = tmp_path / "weights.tar"
    file.write_bytes(os.urandom(15 * 2**20 + 5))
    (tmp_path / "parts").mkdir()
    names = script("parts.py", "split", file, tmp_path / "parts").split()
    assert [Path(name).name for name in names] == ["weights.tar.000", "weights.tar.001", "weights.tar.parts.json"]
    script("parts.py", "join", names[-1], tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == file.read_bytes()
    Path(names[1]).write_bytes(b"other")
    said = script("parts.py", "join", names[-1], tmp_path / "broken.tar", status=1)
    assert "weights.tar.001: not the part that was split (5 of 5 bytes)" in said
    assert not list(tmp_path.glob("broken*"))


ROW = {
    "images_per_second": 1000.0,
    "slowest": 990.0,
    "fastest": 1010.0,
    "milliseconds": 512.0,
    "memory": 2**31,
    "waits": 0,
}


def test_the_page_is_what_the_calls_wrote(tmp_path):
    """Without a sitting everything on the page is not measured; with one, its figures stand there, and no others."""
    page = ROOT / "docs" / "measurements" / "performance.md"
    section = script("page.py", tmp_path).strip()
    if "everything here is not measured" in page.read_text(encoding="utf-8"):
        assert section in page.read_text(encoding="utf-8")
    assert not re.findall(r"\| [\d.,]+%? \|", section), "nothing is a figure"
    rows = {"224 px, compiled, bare": {**ROW, "images_per_second": 1250.0}, "224 px, compiled": ROW}
    common = {"hardware": "A card", "versions": {"torch": "2.11.0"}, "date": "2026-12-01", "command": "call.sh step.py"}
    (tmp_path / "step.json").write_text(json.dumps({**common, "rows": rows}))
    made = script("page.py", tmp_path)
    assert "| 224 px, compiled | 1,000 | 990 to 1,010 | 512.0 | not measured | 80% | 20% | 2.0 GiB | 0 |" in made
    assert "(the aim is 25 minutes): 109.2 minutes, compiled." in made
    assert "- `call.sh step.py`: A card, torch 2.11.0, 2026-12-01" in made
    assert "| 128 px, dermssl | not measured |" in made
    (tmp_path / "folds.json").write_text(json.dumps({**common, "rows": {}, "miniature": "figures mean nothing"}))
    assert "folds.json: figures mean nothing" in script("page.py", tmp_path, status=1)
