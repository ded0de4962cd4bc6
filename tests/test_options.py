"""Options: one field says name, default, help, range and choices for the call, its docstring and its command."""

import ast
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import dermssl
from dermssl import DermsslError
from dermssl.cli.parse import options_of
from dermssl.evaluation.arguments import FinetuneOptions, KnnOptions
from dermssl.options import DEVICE, LARGEST_SEED, Options, check, describe, option, takes


@dataclass(frozen=True, kw_only=True)
class Common(Options):
    seed: int = option(0, "Seed.", least=0, most=LARGEST_SEED)
    device: str = option("auto", "Device.", pattern=DEVICE)


@dataclass(frozen=True, kw_only=True)
class Blurred(Common):
    blur: float = option(0.5, "Strength of the blur.", least=0, most=1)
    edge: int | None = option(None, "Edge in pixels.", least=1, unset="the network's own")
    flip: str = option("none", "Flips.", choices=("none", "both"))
    slow: bool = option(False, "Take your time.")
    shares: Sequence[float] = option((0.1, 0.2), "Shares.")
    target: str | None = option(None, "Class.", spelled="class")
    output: str | Path | None = option(None, "Folder.", metavar="DIR")
    progress: bool = option(False, "Show progress.", command=False)
    word: str | None = option(None, "Password.", command=False, secret=True)
    credit: Sequence[str] = option((), "Source.", metavar="TEXT", repeated=True)
    open: bool = option(False, "Show it to all.", unset="hidden")


@takes(Blurred)
def call(first: str, second: str, options: Blurred) -> Blurred:
    """Do it.

    Args:
        first: one.
        second: two.
        options: the fields of `Blurred`,
            by keyword.

    Raises:
        DermsslError: never.
    """
    return options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": -1}, "--seed -1: must be 0 or more and at most 2,147,483,647"),
        ({"seed": 2**32}, "--seed 4294967296: must be 0 or more and at most"),
        ({"seed": 2**64}, "--seed 18446744073709551616: must be"),
        ({"seed": True}, "--seed True: must be a whole number"),
        ({"seed": 1.0}, "--seed 1.0: must be a whole number"),
        ({"blur": 1e300}, "--blur 1e[+]300: must be 0 or more and at most 1"),
        ({"blur": float("nan")}, "--blur nan: must be"),
        ({"blur": "much"}, "--blur 'much': must be a number"),
        ({"blur": None}, "--blur None: must be a number"),
        ({"edge": 0}, "--edge 0: must be 1 or more"),
        ({"flip": "sideways"}, "--flip sideways: unknown; use one of none, both"),
        ({"device": "mps"}, "--device mps: unknown; use auto, cpu, cuda or cuda:N"),
        ({"device": "xla"}, "--device xla: unknown"),
        ({"device": "meta"}, "--device meta: unknown"),
        ({"target": ""}, "--class : must not be empty"),
        ({"output": " "}, "--output  : must not be empty"),
        ({"slow": "yes"}, "--slow 'yes': must be true or false"),
        ({"shares": "0.1"}, "--shares '0.1': must be a list of numbers"),
        ({"credit": "A. Uthor"}, "--credit 'A. Uthor': must be a list of texts"),
        ({"word": b"sesame"}, r"--word \*\*\*: must be text"),
        ({"blurr": 1}, "call has no option 'blurr'; did you mean blur"),
    ],
)
def test_a_wrong_value_is_refused_in_the_options_own_words(given, message):
    with pytest.raises(DermsslError, match=f"^{message}"):
        call("a", "b", **given)


def test_values_arrive_as_they_are_and_numpys_as_pythons():
    options = call("a", second="b", seed=np.int64(3), blur=1, output=Path("x"), shares=[0.5])
    assert (options.seed, options.blur, options.output, options.shares) == (3, 1, Path("x"), [0.5])
    assert type(options.seed) is int


def test_a_secret_is_shown_nowhere():
    assert "sesame" not in repr(Blurred(word="sesame"))
    assert call("a", "b", word="sesame").word == "sesame"


def test_a_command_can_need_what_the_call_does_not():
    @dataclass(frozen=True, kw_only=True)
    class Kept(Options):
        output: str | None = option(None, "File.", unset="no file", needed=True)

    @click.command()
    @options_of(Kept)
    def command(output):
        pass

    assert "Missing option '--output'" in CliRunner().invoke(command, []).output
    assert "--output TEXT File. [required]" in " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert Kept().output is None


def test_signature_and_docstring_list_every_option():
    parameters = inspect.signature(call).parameters
    assert list(parameters)[:3] == ["first", "second", "blur"]
    assert parameters["blur"].default == 0.5
    assert "seed" in parameters
    text = inspect.getdoc(call)
    assert "blur: Strength of the blur. Default: 0.5." in text
    assert "edge: Edge in pixels. Default: the network's own." in text
    assert "flip: Flips. One of none, both. Default: 'none'." in text
    assert "`Blurred`" not in text
    assert text.index("second: two") < text.index("blur:") < text.index("Raises:")


def test_the_command_has_the_same_options():
    seen = {}

    @click.command()
    @options_of(Blurred)
    def command(**options):
        seen.update(options)

    runner = CliRunner()
    assert runner.invoke(command, []).exit_code == 0
    assert seen == {name: value for name, value in vars(Blurred()).items() if name not in ("progress", "word")}
    assert runner.invoke(command, ["--class", "mel", "--shares", "0.3,0.4", "--slow"]).exit_code == 0
    assert (seen["target"], seen["shares"], seen["slow"]) == ("mel", (0.3, 0.4), True)
    assert runner.invoke(command, ["--credit", "A. Uthor", "--credit", "B, C", "--open"]).exit_code == 0
    assert (seen["credit"], seen["open"]) == (("A. Uthor", "B, C"), True)
    shown = " ".join(runner.invoke(command, ["--help"]).output.split())
    assert "[default: the network's own]" in shown
    assert "[default: 0.1,0.2]" in shown
    assert "--credit TEXT Source; may be given several times. --open Show it to all. [default: hidden]" in shown
    assert runner.invoke(command, ["--credit", ""]).exit_code == 2
    assert runner.invoke(command, ["--class", ""]).exit_code == 2
    assert runner.invoke(command, ["--shares", "a"]).exit_code == 2


def test_only_what_was_typed_leaves_the_rest_to_a_recipe():
    seen = {}

    @click.command()
    @options_of(Blurred, only_given=True)
    def command(**options):
        seen.update(options)

    assert CliRunner().invoke(command, ["--blur", "0.1", "--no-slow"]).exit_code == 0
    assert {name: value for name, value in seen.items() if value not in (None, ())} == {"blur": 0.1, "slow": False}


@pytest.mark.parametrize(("name", "options"), [("finetune", FinetuneOptions), ("evaluate_knn", KnnOptions)])
def test_public_calls_document_their_options(name, options):
    text = inspect.getdoc(getattr(dermssl, name))
    for line in describe(options):
        assert line in text


def test_help_texts_are_sentences():
    for options in (FinetuneOptions, KnnOptions):
        assert all(f.metadata["said"].help.endswith(".") for f in options.__dataclass_fields__.values())


@pytest.mark.parametrize(
    ("name", "value", "said", "message"),
    [
        ("queue_size", 0, {"least": 1}, "--queue-size 0: must be 1 or more"),
        ("limit", 10**400, {"least": 1}, "--limit 10**400: has too many digits; give a smaller number"),
        ("seed", -(10**400), {"least": 0}, "--seed -10**400: must be 0 or more"),
        ("epochs", 2**63, {"most": 10}, "--epochs 9223372036854775808: must be at most 10"),
        ("momentum", 1.0, {"least": 0, "below": 1}, "--momentum 1: must be 0 or more and below 1"),
        ("temperature", float("nan"), {"above": 0}, "--temperature nan: must be above 0"),
        ("temperature", "hot", {"above": 0}, "--temperature hot: must be a number"),
        ("temperature", None, {"above": 0}, "--temperature None: must be a number"),
        ("key_norm", "layer", {"choices": ("batch", "ema")}, "--key-norm layer: unknown; use one of batch, ema"),
        ("key_norm", 3, {"choices": ("batch", "ema")}, "--key-norm 3: unknown; use one of batch, ema"),
    ],
)
def test_an_argument_is_refused_in_the_words_of_an_option(name, value, said, message):
    with pytest.raises(DermsslError) as caught:
        check(name, value, **said)
    assert str(caught.value) == message


def test_errors_have_one_grammar():
    """``--k 0: must be ...`` or ``FILE: ...``; not ``k=0``, nor ``k is 0; it must be ...``."""
    odd = []
    for path in sorted(Path(dermssl.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error") and node.args:
                text = ast.unparse(node.args[0])
                if re.search(r"^f?.\w+=\{| is \{[^}]*\}[;,] it must", text) or (
                    re.search(r"must (not )?be |unknown[;,] ", text)
                    and not re.search(r": .*(must (not )?be |unknown)", text)
                ):
                    odd.append(f"{path.name}:{node.lineno}: {text}")
    assert not odd, "\n".join(odd)
