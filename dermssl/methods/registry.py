"""The methods by the names that ``--method`` takes."""

from collections.abc import Callable
from typing import Any

from dermssl.methods.rotinstdisc import RotInstDisc

# Each makes a timm TrainingTask that also has ``backbone``, ``momentum``, ``rotates_query`` and ``chance_loss()``.
METHODS: dict[str, Callable[..., Any]] = {"rotinstdisc": RotInstDisc}
