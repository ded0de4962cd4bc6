"""What mkdocstrings cannot read in the source: the options that a call takes from a dataclass.

`dermssl.options.takes` gives such a call its signature and its docstring when it is imported; those are shown.
"""

import importlib
import inspect
import re
from typing import Any

import griffe


class Calls(griffe.Extension):
    def on_function(self, *, func: griffe.Function, **given: Any) -> None:
        if not any(str(decorator.value).startswith("takes(") for decorator in func.decorators):
            return
        call = getattr(importlib.import_module(func.module.path), func.name)
        written = {parameter.name: parameter for parameter in func.parameters}
        parameters = inspect.signature(call).parameters.values()
        func.docstring.value = described(inspect.getdoc(call), parameters)
        func.parameters = griffe.Parameters(*(written.get(each.name) or option(each) for each in parameters))


def option(parameter: inspect.Parameter) -> griffe.Parameter:
    annotation = re.sub(r"\b(?:[a-z]+\.)+(?=[A-Z])", "", inspect.formatannotation(parameter.annotation))
    kind = griffe.ParameterKind.keyword_only
    return griffe.Parameter(parameter.name, annotation=annotation, kind=kind, default=repr(parameter.default))


def described(text: str, parameters: Any) -> str:
    """The docstring without the defaults that the list of parameters shows beside it."""
    for each in parameters:
        if each.default not in (None, inspect.Parameter.empty):
            text = text.replace(f" Default: {each.default!r}.\n", "\n")
    return text
