"""The methods by the names that ``--method`` takes."""

from collections.abc import Callable

from timm.task import TrainingTask

from dermssl.methods.rotinstdisc import RotInstDisc

METHODS: dict[str, Callable[..., TrainingTask]] = {"rotinstdisc": RotInstDisc}
