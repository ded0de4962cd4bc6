"""Libraries that only some sources need."""

import importlib
from typing import Any

from dermssl.errors import DermsslError


def extra(module: str, what: str) -> Any:
    """The module of an optional library.

    Args:
        module: its name.
        what: the file or data set that needs it, for the message.

    Raises:
        DermsslError: it is not installed; names what installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DermsslError(f'{what} needs {module.split(".")[0]}: pip install "dermssl[sources]"') from error
