"""The methods by the names that ``--method`` takes."""

from dermssl.methods.byol import BYOL
from dermssl.methods.moco import MoCo
from dermssl.methods.pirl import PIRL
from dermssl.methods.rotation import Rotation
from dermssl.methods.rotinstdisc import RotInstDisc
from dermssl.methods.simclr import SimCLR
from dermssl.methods.task import PretrainingTask

# The trainer gives each those of its options that the constructor names, and ``images``, their number.
METHODS: dict[str, type[PretrainingTask]] = {
    "rotinstdisc": RotInstDisc,
    "moco": MoCo,
    "rotation": Rotation,
    "simclr": SimCLR,
    "byol": BYOL,
    "pirl": PIRL,
}
