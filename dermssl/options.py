"""An option of a command and of its Python call, said once: its name, default, help, range and choices.

The options of a call are the fields of one dataclass (``PretrainConfig``, ``FinetuneOptions``, ...), each made by
:func:`option`. The Python call takes them by keyword (:func:`takes`), the command makes its flags of them
(``dermssl/cli/parse.py``), and a wrong value is refused here, before any work and in one grammar:
``--k 0: must be 1 or more``. Nothing here may import torch: ``dermssl -h`` reads every option.
"""

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

from dermssl.errors import DermsslError
from dermssl.regular import unfit_name

Fit = Literal["squash", "crop"]  # how a photograph becomes square
FITS = ("squash", "crop")
FLIPS = ("none", "horizontal", "both")
FOLD_SPLITS = ("lesion", "paper")
SPLITS = (*FOLD_SPLITS, "given")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DEVICE = (r"auto|cpu|cuda(:\d{1,3})?", "auto, cpu, cuda or cuda:N")  # what --device takes, and how that is said

# What torch, NumPy and scikit-learn take, with room for the small numbers that are added to a seed.
LARGEST_SEED = 2**31 - 1
LARGEST_EDGE = 4096  # pixels, of the largest image that anything here is made for
MOST_EPOCHS = 1_000_000
MOST_WORKERS = 1024
_PLACES = ("DATA", "WEIGHTS", "CSV", "FILE", "DIR")  # metavars of what may be a path
HUGE = 1e9  # of rates and weights: beyond it float32 soon overflows

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
O = TypeVar("O")  # noqa: E741 - options
R = TypeVar("R")


@dataclass(frozen=True)
class Said:
    """What is said of an option; the name, the type and the default are those of its field.

    Attributes:
        help: one line, for ``-h`` and for the docstring of the call.
        choices: the only values.
        least, most: bounds that are inside the range.
        above, below: bounds that are outside of it.
        pattern: regular expression that text must match, and the same in words.
        unset: what None stands for, or a flag that is not given.
        metavar: of the value in ``-h``.
        spelled: the flag, where a Python keyword or clearer words stand in the way of the field's name.
        command: whether the command has it too.
        needed: whether the command cannot do without it.
        repeated: a list that the command takes one by one, not with commas.
        secret: shown nowhere.
    """

    help: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    pattern: tuple[str, str] | None = None
    unset: str | None = None
    metavar: str | None = None
    spelled: str | None = None
    command: bool = True
    needed: bool = False
    repeated: bool = False
    secret: bool = False

    def wrong(self, value: Any) -> str | None:
        """Why a value of the right type is refused; None if it is not."""
        if self.choices and value not in self.choices:
            return f"unknown; use one of {', '.join(self.choices)}"
        if isinstance(value, str):
            if self.pattern and not re.fullmatch(self.pattern[0], value):
                return f"unknown; use {self.pattern[1]}"
            return None if value.strip() else "must not be empty"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        inside = (isinstance(value, int) or math.isfinite(value)) and (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )
        if inside and abs(value) >= 2**63 and isinstance(value, int):  # torch and NumPy take no larger ones
            return "has too many digits; give a smaller number"
        return None if inside else f"must be {self._range()}"

    def _range(self) -> str:
        low = [f"{_plain(self.least)} or more"] if self.least is not None else []
        low += [f"above {_plain(self.above)}"] if self.above is not None else []
        high = [f"at most {_plain(self.most)}"] if self.most is not None else []
        high += [f"below {_plain(self.below)}"] if self.below is not None else []
        return " and ".join([*low, *high]) or "a finite number"


def option(default: Any, help: str, **said: Any) -> Any:
    """A field of a dataclass of options.

    Args:
        default: of the option; None where something else decides (say what by ``unset``).
        help: one line for ``-h`` and the docstring.
        **said: the other attributes of :class:`Said`.
    """
    found = Said(help, **said)
    return field(default=default, repr=not found.secret, metadata={"said": found})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of the options of a call: refuses a value of the wrong type, out of range or not among the choices."""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _checked(type(self), f.name, getattr(self, f.name)))


def fields_of(options: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass of options: its own first, then those of its bases."""
    order = [name for base in options.__mro__ for name in inspect.get_annotations(base)]
    return sorted(dataclasses.fields(options), key=lambda f: order.index(f.name))


def said_of(options: type) -> Mapping[str, Said]:
    """Field name -> what is said of it, in their order."""
    return {f.name: f.metadata["said"] for f in dataclasses.fields(options)}


@functools.cache
def kinds_of(options: type) -> Mapping[str, tuple[Any, ...]]:
    """Field name -> the types of its values: ``int | None`` -> ``(int, NoneType)``, ``Any`` -> ``(Any,)``."""
    hints = typing.get_type_hints(options)
    return {name: _kinds(hints[name]) for name in said_of(options)}


def flag(name: str) -> str:
    """The command-line spelling of an option: ``batch_size`` -> ``--batch-size``."""
    return "--" + name.replace("_", "-")


def spelling(options: type, name: str) -> str:
    """The flag of a field."""
    return flag(said_of(options)[name].spelled or name)


def check(name: str, value: Any, **said: Any) -> None:
    """Refuse an argument of a public class in the words that are used for an option of that name.

    Args:
        name: of the argument, such as ``queue_size``.
        value: a number, or text where ``choices`` are given.
        **said: range or choices, as attributes of :class:`Said`.

    Raises:
        DermsslError: ``--queue-size 0: must be 1 or more``.
    """
    number = "choices" in said or (isinstance(value, numbers.Real) and not isinstance(value, bool))
    _refuse(flag(name), value, Said("", **said).wrong(value) if number else "must be a number")


def make_options(options: Callable[..., O], given: Mapping[str, Any], call: str) -> O:
    """The options that were given by keyword to ``call``.

    Raises:
        DermsslError: one of them is unknown (close names are shown) or refused.
    """
    refuse_unknown(given, [f.name for f in dataclasses.fields(options)], call)  # type: ignore[arg-type]
    return options(**given)


def refuse_unknown(given: Iterable[str], names: Sequence[str], call: str) -> None:
    """Refuse an option that is not among ``names``, the options of ``call``.

    Raises:
        DermsslError: close names are shown.
    """
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=3)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            raise DermsslError(f"{call} has no option {name!r}{hint}")


def takes(options: Callable[P, O]) -> Callable[[Callable[[A, B, O], R]], Callable[Concatenate[A, B, P], R]]:
    """Make ``call(first, second, options)`` take the fields of ``options`` by keyword.

    Its signature lists them, and so does its docstring in the place of the line on ``options``.
    """

    def decorate(call: Callable[[A, B, O], R]) -> Callable[Concatenate[A, B, P], R]:
        name = getattr(call, "__name__", "")
        signature = inspect.signature(call)
        leading = [p for p in signature.parameters.values() if p.name != "options"]

        @functools.wraps(call)
        def public(*args: Any, **given: Any) -> R:
            first = {p.name: given.pop(p.name) for p in leading if p.name in given}
            return cast(Any, call)(*args, **first, options=make_options(options, given, name))

        fields = fields_of(options)
        own = [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
            for f in fields
        ]
        public.__signature__ = signature.replace(parameters=[*leading, *own])  # type: ignore[attr-defined]
        public.__doc__ = _documented(call.__doc__ or "", options)
        return public

    return decorate


def describe(options: Any) -> list[str]:
    """``name: help`` of each option, as it stands in a docstring."""
    lines = []
    for f in fields_of(options):
        said: Said = f.metadata["said"]
        parts = [said.help]
        if said.choices:
            parts.append(f"One of {', '.join(said.choices)}.")
        if said.unset and f.default is None:
            parts.append(f"Default: {said.unset}.")
        elif f.default is not None:
            parts.append(f"Default: {f.default!r}.")
        lines.append(f"{f.name}: {' '.join(parts)}")
    return lines


def _documented(text: str, options: Any) -> str:
    found = re.search(r"^( *)options: .*\n(?:\1 +.*\n)*", text, flags=re.MULTILINE)
    if found is None:
        return text
    lines = "".join(f"{found[1]}{line}\n" for line in describe(options))
    return text[: found.start()] + lines + text[found.end() :]


def _checked(options: type, name: str, value: Any) -> Any:
    """The value, of Python's own types where it was NumPy's.

    Raises:
        DermsslError: it is refused.
    """
    said, kinds = said_of(options)[name], kinds_of(options)[name]
    named = flag(said.spelled or name)
    if value is None and (type(None) in kinds or Any in kinds):
        return None
    if isinstance(value, os.PathLike) and kinds[0] is str and Path not in kinds:
        value = os.fspath(value)
    if not isinstance(value, bool | int | float) and isinstance(value, numbers.Number):
        value = value.item() if hasattr(value, "item") else value
    if (Path in kinds or said.metavar in _PLACES) and isinstance(value, str | os.PathLike):
        _refuse(named, value, unfit_name(value))
    if Any not in kinds and not any(_is(value, kind) for kind in kinds):
        words = " or ".join(dict.fromkeys(_words(kind) for kind in kinds if kind is not type(None)))
        shown = "***" if said.secret else repr(value) if isinstance(value, str) else value
        raise DermsslError(f"{named} {shown}: must be {words}")
    _refuse(named, "***" if said.secret else value, said.wrong(value))
    return value


def _refuse(named: str, value: Any, why: str | None) -> None:
    if why is not None:
        raise DermsslError(f"{named} {_shown(value)}: {why}")


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**30:  # Python itself does not write all numbers of 4,300 digits
        return f"{'-' if value < 0 else ''}10**{math.floor(math.log10(abs(value)))}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _kinds(hint: Any) -> tuple[Any, ...]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return tuple(kind for part in typing.get_args(hint) for kind in _kinds(part))
    if typing.get_origin(hint) is typing.Literal:
        return (str,)
    return (hint,)


def _is(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Sequence:  # text has letters, which nobody means by a list
        return isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _words(kind: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        Sequence[str]: "a list of texts",
    }
    return names.get(kind, "a list of numbers" if typing.get_origin(kind) else "a path")


def _plain(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
