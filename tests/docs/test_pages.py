"""What the pages show is true: every command is understood, every name exists, and what is marked to be run runs."""

import ast
import contextlib
import inspect
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

import dermssl
from dermssl.cli import COMMANDS, group
from dermssl.data.synthetic import write_synthetic
from dermssl.pretraining.config import PretrainConfig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE = {ROOT / "docs" / "tutorials" / "notebook.md"}  # by docs/hooks.py when the site is built
_BLOCK = re.compile(r"(?P<mark><!-- run -->\n)?(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)\n *```", re.DOTALL)
_SHELL = ("", "console", "bash", "sh")


@dataclass(frozen=True)
class Block:
    """Code of a page: ``run`` where ``<!-- run -->`` stands before it."""

    text: str
    python: bool
    run: bool


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix().removeprefix("docs/")


def blocks(page: Path) -> list[Block]:
    """The blocks of Python and of commands."""
    found = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["kind"] == "python" or match["kind"] in _SHELL:
            text = re.sub(rf"(?m)^{match['indent']}", "", match["text"])
            found.append(Block(text, match["kind"] == "python", bool(match["mark"])))
    return found


def commands(text: str) -> list[str]:
    """The lines of a block of commands, with their continuations joined and comments removed."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]


def arguments(line: str) -> list[str] | None:
    """The words behind ``dermssl`` of a line that calls it; None for other lines."""
    for part in line.split(" && "):
        if "dermssl" not in part:
            continue
        words = shlex.split(re.split(r"\s(?:>|\|\||\||<)\s", f"{part} ")[0])
        while words and re.fullmatch(r"\w+=\S*", words[0]):  # a variable before the command
            words = words[1:]
        for start in (["dermssl"], ["python", "-m", "dermssl"]):
            if words[: len(start)] == start:
                return words[len(start) :]
        if words[:1] == ["torchrun"] and "dermssl" in words:
            return words[words.index("dermssl") + 1 :]
    return None


def quoted(page: Path) -> Iterator[str]:
    """What stands in backticks in the prose."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for match in re.finditer(r"`([^`\n]+(?:\n[^`\n]+)?)`", prose):
        yield " ".join(match[1].split())


# What makes a page's code small (the pages show runs of minutes, the tests have seconds) and right for drawn images.
SMALLER = (
    (r"--image-size \d+", "--image-size 32"),
    (r"--epochs \d+", "--epochs 1"),
    (r"k=100", "k=20"),
    (r"cc-by-4\.0", "apache-2.0"),
    (r"timm:resnet18\.a1_in1k", "random:resnet18"),  # without the network
)
FIRST = "tutorials/first-backbone.md"  # makes runs/first, with which the other pages go on
DRILLS = ROOT / "docs" / "architecture.md"  # run by tests/test_architecture_page.py
OTHERS_OPTIONS = {"--nproc-per-node", "--max-restarts", "--no-deps"}  # torchrun's and pip's


def command_of(words: list[str]) -> click.Command:
    assert words[0] in COMMANDS, f"no command {words[0]}"
    command = group.get_command(None, words[0])
    assert command is not None
    return command


def options_of(command: click.Command) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"-h", "--help"}


def shown() -> list[Any]:
    return [
        pytest.param(words, id=f"{name_of(page)}: {' '.join(words)[:60]}")
        for page in PAGES
        for block in blocks(page)
        if not block.python
        for line in commands(block.text)
        if (words := arguments(line)) is not None
    ]


@pytest.mark.parametrize("words", shown())
def test_a_command_on_a_page_is_understood(words):
    words = [word for word in words if word not in ("...", "…")]
    if not words or words[0].startswith("-"):
        return
    command_of(words).make_context(words[0], list(words[1:]), help_option_names=["-h", "--help"])


@pytest.mark.parametrize("page", [page for page in PAGES if page != DRILLS], ids=name_of)
def test_what_the_prose_quotes_exists(page):
    """`dermssl NAME --option`, `--option` of some command, and files of the repository."""
    every = set().union(*(options_of(command_of([name])) for name in COMMANDS)) | OTHERS_OPTIONS
    for text in quoted(page):
        words = text.split()
        if words[0] == "dermssl" and len(words) > 1 and not words[1].startswith("-"):
            known = options_of(command_of(words[1:])) | (every if words[1] == "pretrain" else set())
            assert not [w for w in words if w.startswith("--") and w.split("=")[0] not in known], text
        elif text.startswith("--"):
            named = re.findall(r"--[a-z][\w-]*", text)
            assert not [name for name in named if name not in every and not ours(name, page)], text
        for path in re.findall(
            r"(?:^|\s)((?:dermssl|tests|examples|docs|hub)/[\w./-]+\.(?:py|sh|md|ipynb|csv|svg|png))\b", text
        ):
            assert (ROOT / path).exists() or ROOT / path in MADE, path


def ours(option: str, page: Path) -> bool:
    """An option of a method or of a program in tests/ that a page of measurements or contributors quotes."""
    methods = {"--embedding-dim", "--hidden-dim", "--patch-weight", "--memory-momentum"}
    return option in methods or page.parent.name == "measurements"


@pytest.mark.parametrize("page", [page for page in PAGES if page != DRILLS], ids=name_of)
def test_python_on_a_page_names_what_there_is(page):
    """Each block is Python, and each call of ours has a public name and arguments that it takes."""
    for block in blocks(page):
        if not block.python:
            continue
        for node in ast.walk(ast.parse(block.text)):
            name = public_name(node.func) if isinstance(node, ast.Call) else public_name(node)
            if name is None:
                continue
            assert name in dermssl.__all__, name
            if isinstance(node, ast.Call):
                takes = inspect.signature(getattr(dermssl, name)).parameters
                further = set(PretrainConfig.__dataclass_fields__) if name == "pretrain" else set()
                unknown = {word.arg for word in node.keywords if word.arg} - set(takes) - further
                anything = any(each.kind is each.VAR_KEYWORD for each in takes.values())
                assert not unknown or (anything and name != "pretrain"), f"{name}: {unknown}"


def public_name(node: ast.AST) -> str | None:
    """NAME of ``dermssl.NAME``."""
    ours = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dermssl"
    return node.attr if ours else None


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder as the pages suppose: IMAGES/, HAM10000/ and, once the first page was run, runs/first and runs/r18."""
    folder = tmp_path_factory.mktemp("pages")
    drawn = write_synthetic(folder / "HAM10000", images=160, size=48, seed=0)
    shutil.copytree(drawn, folder / "IMAGES")
    shutil.make_archive(str(folder / "images"), "zip", drawn)
    shutil.copyfile(next((drawn / "HAM10000_images").glob("*.jpg")), folder / "lesion.jpg")
    return folder


def smaller(text: str) -> str:
    for pattern, small in SMALLER:
        text = re.sub(pattern, small, text)
    return text


def run(line: str) -> None:
    """Run one line in this process: ``dermssl ... [> FILE] [|| true]``, or ``mkdir -p FOLDER``."""
    line = smaller(line)
    if line.startswith("mkdir -p "):
        Path(line.removeprefix("mkdir -p ")).mkdir(parents=True, exist_ok=True)
        return
    words = arguments(line)
    assert words is not None, f"not run by this test: {line}"
    if words[0] == "eval-knn" and "--k" not in words:
        words += ["--k", "20"]  # the drawn set is small
    if words[0] in ("eval-knn", "finetune") and "--image-size" not in words:
        words += ["--image-size", "32"]
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
    pages = {name_of(page): [block for block in blocks(page) if block.run] for page in PAGES}
    assert pages[FIRST]
    for name in sorted(pages, key=lambda name: (name != FIRST, not name.startswith("tutorials/"))):
        names = {"dermssl": dermssl}
        for block in pages[name]:
            if block.python:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(smaller(block.text), name, "exec"), names)
                continue
            for line in commands(block.text):
                run(line)
        if name == FIRST:
            shutil.copytree("runs/first", "runs/r18")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text):
        path = (page.parent / target).resolve()
        assert path.exists() or path in MADE, target
    for address in re.findall(r"\]\((https?:[^)]*)\)", text):
        assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[\w./#%@?=&~-]*)?", address), address


def test_the_python_reference_lists_every_public_name():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    calls, results = page.split("\n## Results\n")
    listed = re.findall(r"^::: ([\w.]+)\.(\w+)$", calls, re.MULTILINE)
    assert {name: home for home, name in listed} == dermssl._HOMES
    calls_of_ours = filter(inspect.isfunction, (getattr(dermssl, name) for name in dermssl.__all__))
    returned = {inspect.signature(each).return_annotation for each in calls_of_ours}
    classes = {each for each in returned if inspect.isclass(each) and each.__module__.startswith("dermssl.")}
    missing = {each.__name__ for each in classes} - set(dermssl.__all__) - set(re.findall(r"\.(\w+)$", results, re.M))
    assert not missing


def test_every_promise_is_held_by_a_test_that_is_there():
    text = (ROOT / "docs" / "measurements" / "reliability.md").read_text(encoding="utf-8")
    missing, file = [], ""
    for name, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", text):
        file = name or file
        if (name or test) and (
            not (ROOT / file).is_file() or (test and f"def {test}(" not in (ROOT / file).read_text())
        ):
            missing.append(f"{file}::{test}")
    assert not missing
