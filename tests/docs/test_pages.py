"""The commands on the pages: all are understood by the command line, those marked ``<!-- run -->`` are run."""

import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

import dermssl
from dermssl.cli import COMMANDS, group
from dermssl.data.synthetic import write_synthetic

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?P<mark><!-- run -->\n)?(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)\n *```", re.DOTALL)
# What makes a page's command small: the pages show runs of minutes, the tests have seconds.
SMALLER = ((r"--image-size \d+", "--image-size 32"), (r"--epochs \d+", "--epochs 1"))


def commands(text: str) -> list[str]:
    """The lines of a block with their continuations joined and comments removed."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]


def arguments(line: str) -> list[str] | None:
    """The words behind ``dermssl`` of a line that calls it; None for other lines."""
    if not line.startswith(("dermssl ", "python -m dermssl ", "torchrun ")):
        return None
    words = shlex.split(re.split(r"\s(?:>|\|\||&&|\||<)\s", f"{line} ")[0])
    for start in (["dermssl"], ["python", "-m", "dermssl"]):
        if words[: len(start)] == start:
            return words[len(start) :]
    return words[words.index("dermssl") + 1 :] if words[:1] == ["torchrun"] else None


def shown() -> list[pytest.param]:
    found = []
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if block["kind"] in ("", "console", "bash", "sh"):
                found += [
                    pytest.param(words, id=f"{page.name}: {' '.join(words)[:60]}")
                    for line in commands(block["text"])
                    if (words := arguments(line)) is not None
                ]
    return found


@pytest.mark.parametrize("words", shown())
def test_a_command_on_a_page_is_understood(words):
    words = [word for word in words if word not in ("...", "…")]
    if not words or words[0].startswith("-"):
        return
    assert words[0] in COMMANDS
    command = group.get_command(None, words[0])
    assert command is not None
    command.make_context(words[0], list(words[1:]), help_option_names=["-h", "--help"])


def runnable() -> list[pytest.param]:
    found = []
    for page in PAGES:
        blocks = [b["text"] for b in BLOCK.finditer(page.read_text(encoding="utf-8")) if b["mark"]]
        if blocks:
            found.append(pytest.param(blocks, id=page.name))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder as the pages suppose: IMAGES/, HAM10000/ and, once the first page was run, runs/first."""
    folder = tmp_path_factory.mktemp("pages")
    drawn = write_synthetic(folder / "HAM10000", images=160, size=48, seed=0)
    shutil.copytree(drawn, folder / "IMAGES")
    return folder


def run(line: str) -> None:
    """Run one line in this process: ``dermssl ... [> FILE] [|| true]``, or ``mkdir -p FOLDER``."""
    for pattern, small in SMALLER:
        line = re.sub(pattern, small, line)
    if line.startswith("mkdir -p "):
        Path(line.removeprefix("mkdir -p ")).mkdir(parents=True, exist_ok=True)
        return
    words = arguments(line)
    assert words is not None, f"not run by this test: {line}"
    if words[0] == "eval-knn" and "--k" not in words:
        words += ["--k", "20"]  # the drawn set is small
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            group.main(words, prog_name="dermssl", standalone_mode=False)
        except SystemExit as end:
            if end.code and "|| true" not in line:
                pytest.fail(f"{line}: ended with {end.code}")
    if target := re.search(r" > (\S+)", line):
        Path(target[1]).write_text(output.getvalue(), encoding="utf-8")


@pytest.mark.slow
def test_the_pages_run_from_the_first_to_the_last(place, monkeypatch):
    """In one test since later pages go on from the first."""
    monkeypatch.chdir(place)
    pages = {page.id: page.values[0] for page in runnable()}
    first = "first-backbone.md"
    assert first in pages
    for name in (first, *(name for name in pages if name != first)):
        for block in pages[name]:
            for line in commands(block):
                run(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_python_reference_lists_every_public_name():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: ([\w.]+)\.(\w+)$", page, re.MULTILINE)
    assert {name: home for home, name in listed} == dermssl._HOMES
