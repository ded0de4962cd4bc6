"""The options of a method: read from its constructor and its docstring, kept nowhere else."""

import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Container
from typing import Any

from timm.task import TrainingTask

from dermssl.options import Options, option


def constructor_options(method: type, without: Container[str] = ()) -> type[Options]:
    """The keywords of a method's constructor as a dataclass of options, with types, defaults and help.

    Its backbone and what every ``TrainingTask`` takes are not among them.

    Args:
        method: the class; the help is what the section ``Args`` of its docstring says.
        without: keywords to leave out.
    """
    common = {"backbone", *inspect.signature(TrainingTask).parameters}
    hints, said = typing.get_type_hints(method.__init__), _arguments(inspect.getdoc(method) or "")  # type: ignore[misc]
    fields: list[tuple[str, Any, Any]] = []
    for name, parameter in inspect.signature(method).parameters.items():
        if name in common or name in without:
            continue
        hint, default, unset = hints.get(name, Any), parameter.default, None
        if default is parameter.empty:
            hint, default, unset = hint | None, None, "none, it must be given"
        fields.append((name, hint, option(default, said.get(name, ""), unset=unset)))
    name = f"{method.__name__}Options"
    return dataclasses.make_dataclass(name, fields, bases=(Options,), frozen=True, kw_only=True)


def _arguments(docstring: str) -> dict[str, str]:
    """What the section ``Args`` of a docstring says of each argument."""
    _, _, section = docstring.partition("Args:\n")
    lines = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        lines.append(line)
    said = {}
    for entry in re.split(r"\n(?=\S)", textwrap.dedent("\n".join(lines)).strip()):
        names, _, text = entry.partition(":")
        for name in names.split(","):
            said[name.strip()] = " ".join(text.split()).replace("``", "")
    return said
