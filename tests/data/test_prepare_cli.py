"""``dermssl prepare`` from the command line."""

import json
import subprocess
import sys

from click.testing import CliRunner
from PIL import Image

from dermssl.cli.prepare import command
from dermssl.data.synthetic import write_synthetic


def test_it_prints_what_it_found(tmp_path):
    folder = write_synthetic(tmp_path / "set", images=40, size=24)
    (folder / "HAM10000_images" / "SYNTH_0000001.jpg").write_bytes(b"x")
    (folder / "HAM10000_images" / "SYNTH_0000002.jpg").unlink()
    result = CliRunner().invoke(command, [str(folder), "--output", str(tmp_path / "out"), "--size", "16"])
    assert result.exit_code == 0, result.output
    assert "38 images of 16 x 16 px, fit squash" in result.stdout
    assert "(synthetic)" in result.stdout
    assert "akiec 5" in result.stdout
    assert "1 x unreadable" in result.stdout
    assert "1 x named in the table, but there is no such file" in result.stdout
    assert "problems.csv" in result.stdout


def test_equal_problems_are_counted_without_the_names_in_them(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (24, 24), "red" if name == "a" else "blue").save(tmp_path / name / "1.png")
    (tmp_path / "set.csv").write_text("image,label\na/1.png,x\nb/1.png,y\n1,x\n1.png,y\n")
    result = CliRunner().invoke(command, [str(tmp_path), "--output", str(tmp_path / "out"), "--size", "16"])
    assert "2 x named in the table, but several files have this name" in result.stdout


def test_json_is_the_only_thing_on_standard_output(tmp_path):
    folder = write_synthetic(tmp_path / "set", images=35, size=24)
    options = [str(folder), "--output", str(tmp_path / "out"), "--size", "16", "--fit", "crop", "--json"]
    result = CliRunner().invoke(command, options)
    found = json.loads(result.stdout)
    assert (found["images"], found["size"], found["fit"], found["layout"]) == (35, 16, "crop", "synthetic")
    assert sum(found["classes"].values()) == 35
    assert found["problems"] == {}


def test_a_mistake_is_one_line_and_exit_code_1(tmp_path):
    (tmp_path / "nothing").mkdir()
    command_line = [sys.executable, "-m", "dermssl", "prepare", "nothing", "--output", "out"]
    result = subprocess.run(command_line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: nothing is empty; looked for")
    assert "Traceback" not in result.stderr


def test_max_bad_lets_more_unreadable_images_pass(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    Image.new("RGB", (9, 9)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"x")
    options = [str(folder), "--output", str(tmp_path / "out"), "--size", "16"]
    assert CliRunner().invoke(command, options).exit_code == 1
    assert CliRunner().invoke(command, [*options, "--max-bad", "0.5"]).exit_code == 0
