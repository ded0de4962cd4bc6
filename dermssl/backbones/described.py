"""A set of weights as its two files describe it, before a tensor is read or a network is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from dermssl.backbones.identity import METADATA_KEY, refuse_mixed
from dermssl.documents import parse_json, read_json, unreadable
from dermssl.errors import DermsslError
from dermssl.options import LARGEST_EDGE
from dermssl.regular import open_regular

_WHAT = "the configuration of weights"
_REMEDY = "export the weights again"
# What timm's own files hold of it, too; others may be there.
CONFIG: dict[str, Any] = {
    "architecture": str,
    "num_features?": int,
    "pretrained_cfg?": {
        "input_size?": [int, int, int],
        "mean?": [float, float, float],
        "std?": [float, float, float],
        "crop_pct?": (float, None),
        "first_conv?": (str, [str], None),
        "classifier?": (str, [str], None),
    },
    "model_args?": dict,
}
# All numbers of its model_args together (depths, widths, sizes): timm makes lists of some before any layer.
_MOST_NUMBERS = 2**20
_MOST_BYTES = 64 * 2**20  # configurations of 0.1.0 hold their results, too: hundreds of kB
# What a state has beside its parameters: the running statistics of BatchNorm.
_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


@dataclass(frozen=True)
class Described:
    """What is written about weights.

    Attributes:
        config: content of ``config.json``, or what the weights file holds of it.
        shapes: of each tensor by its name.
    """

    config: dict[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        kept = (shape for name, shape in self.shapes.items() if not name.endswith(_STATISTICS))
        return sum(map(_elements, kept))


def read_described(spelling: str, config: Path, file: Path) -> Described:
    """What the files of a set of weights say.

    Args:
        spelling: of the weights, for errors.
        config: ``config.json``; where it is missing, the one inside the weights file counts.
        file: the weights.

    Raises:
        DermsslError: a file is damaged, the two are not of the same weights, or nothing names the architecture.
    """
    source = f"weights {spelling}"
    try:
        open_regular(file).close()  # safetensors calls missing what may not be read
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except OSError as error:
        raise unreadable(f"{source}: {file}", error, "export again") from error
    except (ValueError, SafetensorError) as error:
        raise DermsslError(f"{source}: {file.name} cannot be read: {error}; export again") from error
    try:
        if config.is_file():
            found = read_json(config, _WHAT, CONFIG, remedy=_REMEDY, max_bytes=_MOST_BYTES)
        elif METADATA_KEY in metadata:
            found = parse_json(metadata[METADATA_KEY], f"{file}", _WHAT, CONFIG, remedy=_REMEDY)
        else:
            found = None
    except DermsslError as error:
        raise DermsslError(f"{source}: {config.name} cannot be used: {error}") from error
    if found is None:
        raise DermsslError(
            f"{source}: nothing says which architecture this is; put the {config.name} of the export beside it"
        )
    refuse_mixed(metadata, found, source)
    edges = found.get("pretrained_cfg", {}).get("input_size", [1])
    wrong = next((edge for edge in edges if not 1 <= edge <= LARGEST_EDGE), None)
    if wrong is not None:
        raise DermsslError(
            f"{source}: {config.name} asks for images of {max(-(10**9), min(wrong, 10**9)):,} px, and 1 to "
            f"{LARGEST_EDGE:,} px are taken; correct its input_size, or export the weights again"
        )
    if _sum(found.get("model_args", {})) > _MOST_NUMBERS:
        raise DermsslError(
            f"{source}: model_args in {config.name} ask for a larger network than any there is; correct them, or "
            "export the weights again"
        )
    return Described(found, shapes)


def _sum(value: Any) -> float:
    """The numbers in a value, wherever they stand."""
    if isinstance(value, dict | list):
        return sum(map(_sum, value.values() if isinstance(value, dict) else value))
    return abs(value) if isinstance(value, int | float) else 0


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for edge in shape:
        count *= edge
    return count
