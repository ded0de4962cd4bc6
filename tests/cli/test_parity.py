"""Every option of a call in Python is one of its command too, by the same name and with the same default."""

import importlib
import inspect
from pathlib import Path

import pytest

import dermssl

CALLS = {
    "cam": "class_activation",
    "demo": "demo",
    "embed": "embed",
    "eval_knn": "evaluate_knn",
    "export": "export",
    "fewshot": "fewshot",
    "finetune": "finetune",
    "leakage": "leakage",
    "prepare": "prepare",
    "project": "project",
    "push": "push",
}
# commands always show their progress, and a token on a command line would stay in the shell's history
NOT_ON_THE_COMMAND_LINE = {"progress", "token"}


@pytest.mark.parametrize("name", CALLS)
def test_a_command_has_the_options_of_its_call(name):
    command = importlib.import_module(f"dermssl.cli.{name}").command
    needed = [option for option in command.params if option.required]
    given = [word for option in needed for word in ([option.opts[0], "x"] if option.opts[0][0] == "-" else ["x"])]
    values = command.make_context(name, given, help_option_names=["-h", "--help"]).params
    parameters = inspect.signature(getattr(dermssl, CALLS[name])).parameters
    assert parameters.keys() - values.keys() <= NOT_ON_THE_COMMAND_LINE
    asked = {option.name for option in needed}
    for parameter in parameters.keys() & values.keys() - asked:
        value = values[parameter]
        expected = parameters[parameter].default
        assert (str(value) if isinstance(value, Path) else value) == expected, parameter
