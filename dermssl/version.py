"""Which versions made a result."""

import importlib.metadata
import platform

import dermssl


def versions(*packages: str) -> dict[str, str]:
    """The versions of dermssl, of Python and of ``packages``, by name."""
    installed = {name: importlib.metadata.version(name) for name in packages}
    return {"dermssl": dermssl.__version__, "python": platform.python_version(), **installed}
