"""From the options of a Python call to those of its command."""

import collections.abc
import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dermssl.backbones.arguments import SPELLINGS
from dermssl.options import Options, Said, fields_of, kinds_of, spelling
from dermssl.regular import unfit_name

Command = Callable[..., Any]


class Text(click.ParamType):
    """Text that is there: an empty ``"$VARIABLE"`` must not come to mean the folder one stands in."""

    name = "text"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, str) and not value.strip():
            self.fail("must not be empty", parameter, context)
        return value


class Name(Text):
    """WEIGHTS or DATA, which may be a path."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        why = unfit_name(value) if isinstance(value, str) else None
        if why is not None:
            self.fail(f"{value[:60]!r}...: {why}", parameter, context)
        return super().convert(value, parameter, context)


class Place(Name):
    """A path that is there to be named."""

    name = "path"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Path:
        return Path(super().convert(value, parameter, context))


class Several(click.ParamType):
    """A list with commas: ``0.01,0.1``."""

    name = "list"

    def __init__(self, kind: Callable[[str], Any]) -> None:
        self.kind = kind

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[Any, ...]:
        if not isinstance(value, str):
            return tuple(value)
        try:
            return tuple(self.kind(part.strip()) for part in value.split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 1,2", parameter, context)


TEXT, NAME, PLACE = Text(), Name(), Place()


def weights_argument(**more: Any) -> Callable[[Command], Command]:
    """WEIGHTS, as every command takes it; the help of the command ends with what it may be."""
    each = "Each of WEIGHTS" if more.get("nargs") == -1 else "WEIGHTS"

    def decorate(command: Command) -> Command:
        command.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n{each} is {SPELLINGS}."
        return click.argument("weights", type=NAME, **more)(command)

    return decorate


def data_argument(name: str = "data", **more: Any) -> Callable[[Command], Command]:
    """DATA, as every command takes it."""
    return click.argument(name, type=NAME, **more)


def options_of(options: type[Options], *, only_given: bool = False) -> Callable[[Command], Command]:
    """Give a command one option for each field of ``options``, with its help, default and choices.

    Args:
        options: the dataclass that the Python call takes.
        only_given: an option that was not typed is None, so that a recipe can fill it in.
    """

    def decorate(command: Command) -> Command:
        made = [
            _click_option(options, f, f.metadata["said"], only_given)
            for f in fields_of(options)
            if f.metadata["said"].command
        ]
        for add in reversed(made):
            command = add(command)
        return command

    return decorate


def _click_option(options: type, f: dataclasses.Field[Any], said: Said, only_given: bool) -> Callable[..., Any]:
    name, kind = spelling(options, f.name), kinds_of(options)[f.name][0]
    several = typing.get_origin(kind) is collections.abc.Sequence
    more: dict[str, Any] = {"help": said.help}
    if kind is bool and only_given:
        name = f"{name}/--no-{name[2:]}"
    elif kind is bool:
        more["is_flag"] = True
    elif said.repeated:
        more |= {"type": TEXT, "multiple": True, "help": f"{said.help.rstrip('.')}; may be given several times."}
    elif several:
        more |= {"type": Several(typing.get_args(kind)[0])}
    else:
        more["type"] = click.Choice(said.choices) if said.choices else {int: int, float: float}.get(kind, TEXT)
    if said.metavar:
        more["metavar"] = said.metavar
    if said.needed:
        return click.option(name, f.name, required=True, **more)
    default: Any = f.default
    shown = said.unset or (",".join(map(str, default)) if several and default is not None else default)
    if shown not in (None, "") and (said.unset or kind is not bool or only_given):
        more["help"] += f"  [default: {_word(shown)}]"
    return click.option(name, f.name, default=None if only_given else default, **more)


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def output_folder(help: str, **more: Any) -> Callable[[Command], Command]:
    """``--output``, a folder that the command needs."""
    return click.option("--output", **{"required": True, "type": PLACE, "metavar": "DIR", "help": help, **more})


def json_option(help: str = "Print one JSON object instead of tables.") -> Callable[[Command], Command]:
    """``--json``, for machines."""
    return click.option("--json", "as_json", is_flag=True, help=help)
