"""Checkpoints of other programs: their tensors, read without running code, and which of them are a backbone."""

import argparse
import pickle
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dermssl.errors import DermsslError

SUFFIXES = (".pth", ".pth.tar", ".pt", ".bin", ".ckpt", ".safetensors")
# Of several copies of a network in one file, the averaged one of timm and DINO, and the online one of the others.
_FIRST = re.compile(r"(^|[._])(state_dict_ema|model_ema|ema|teacher)([._]|$)")
_LAST = re.compile(r"(^|[._])(encoder_k|key_encoder|student)([._]|$)|momentum|target")
# What methods put on a backbone, also below its prefix: SimCLR and MoCo replace `fc` by their projection.
_HEADS = re.compile(
    r"(fc|heads?|head_dist|last_linear|classifier|classif|linear|mlp|proj(ection)?(_head|_mlp)?|projector|predictor|"
    r"prediction(_head|_mlp)?|prototypes|last_layer|rot(ation)?_head|online_classifier|contrast(ive)?_head|"
    r"decoder\w*|mask_token)(\.|$)"
)
_COUNTERS = "num_batches_tracked"  # torch before 0.4.1 did not keep them; nothing that is computed depends on them


@dataclass(frozen=True)
class Part:
    """The tensors of a backbone in a checkpoint.

    Attributes:
        prefix: of their names in the file: ``module.encoder_q.``.
        tensors: by the model's own names.
        dropped: names below the prefix that are a head.
        others: what else the file holds, with its number of tensors: ``module.encoder_k``.
    """

    prefix: str
    tensors: dict[str, Tensor]
    dropped: tuple[str, ...]
    others: dict[str, int]


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a file that `read_checkpoint` reads, by its name."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by their names with those of the dictionaries around them: ``state_dict.fc.weight``.

    Raises:
        DermsslError: the file cannot be read, holds no tensors, or holds objects other than tensors, numbers and texts,
            whose loading may run code.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # DINO and MAE keep their options in a Namespace, which is nothing but a dictionary
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle's version
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DermsslError(f"{path}: not loaded, as {_refused(error)}") from error
    except (OSError, SafetensorError) as error:
        raise DermsslError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except Exception as error:  # torch raises nearly anything on a damaged file
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DermsslError(f"{path} is damaged or not a checkpoint of torch: {first}") from error
    tensors = dict(_flat(content))
    if not tensors:
        raise DermsslError(f"{path}: holds no tensors (a {type(content).__name__})")
    return tensors


def find_backbone(tensors: Mapping[str, Tensor], model: nn.Module, source: str) -> Part:
    """The tensors of a checkpoint that are ``model``, whatever is put before their names.

    Args:
        tensors: as `read_checkpoint` gives them.
        model: made by timm with ``num_classes=0``.
        source: what messages call the checkpoint.

    Raises:
        DermsslError: a tensor of the model is not there, has another shape or is not finite; one below the prefix is
            neither the model's nor a head's; or several different networks fit.
    """
    wanted = model.state_dict()
    numbered = _as_sequence(model, tensors, wanted)
    parts = [
        _part(names, prefix, wanted)
        for names in filter(None, (tensors, numbered))
        for prefix in _prefixes(names, wanted)
    ]
    whole = [part for part in parts if not _missing(part, wanted)]
    if not whole:
        best = max(parts, key=lambda part: len(wanted) - len(_missing(part, wanted)), default=None)
        raise DermsslError(f"{source}: {_why_not(best, wanted, tensors, model)}")
    first = min(map(_rank, whole))
    chosen = [part for part in whole if _rank(part) == first]
    part = chosen[0]
    differing = [other.prefix for other in chosen[1:] if not _equal(part, other)]
    if differing:
        raise DermsslError(
            f"{source}: holds several networks of this architecture ({', '.join([part.prefix, *differing])}), and "
            "nothing says which one is meant; save the one you want by itself"
        )
    left = [name for name in part.dropped if not _HEADS.match(name)]
    if left:
        raise DermsslError(
            f"{source}: {len(left)} tensors below {part.prefix!r} are neither the backbone's nor those of a known head "
            f"({_some(left)}); is it another architecture?"
        )
    broken = [name for name, tensor in part.tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise DermsslError(f"{source}: {len(broken)} tensors hold NaN or infinity ({_some(broken)})")
    return part


def _flat(value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The tensors in dictionaries of dictionaries; lists and optimizers hold none of a network."""
    if isinstance(value, Tensor) and prefix:
        yield prefix[:-1], value
    elif isinstance(value, Mapping) and depth < 8:
        for name, inner in value.items():
            if isinstance(name, str) and not (depth == 0 and name.startswith(("optim", "lr_sched", "amp", "scaler"))):
                yield from _flat(inner, f"{prefix}{name}.", depth + 1)


def _prefixes(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """What stands before the model's own names, the most frequent first."""
    counts: Counter[str] = Counter()
    for name in tensors:
        start = 0
        while start >= 0:
            if name[start:] in wanted:
                counts[name[:start]] += 1
            start = name.find(".", start) + 1 or -1
    return [prefix for prefix, _ in counts.most_common(12)]


def _part(tensors: Mapping[str, Tensor], prefix: str, wanted: Mapping[str, Tensor]) -> Part:
    inside = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    others = Counter(
        ".".join(name.split(".")[: prefix.count(".") or 1]) for name in tensors if not name.startswith(prefix)
    )
    dropped = tuple(name for name in inside if name not in wanted)
    return Part(prefix, {name: inside[name] for name in wanted if name in inside}, dropped, dict(others))


def _missing(part: Part, wanted: Mapping[str, Tensor]) -> list[str]:
    """The model's names that the file does not have in this shape."""
    return [
        name
        for name, tensor in wanted.items()
        if not (name in part.tensors and part.tensors[name].shape == tensor.shape)
        and not (name.endswith(_COUNTERS) and name not in part.tensors)
    ]


def _as_sequence(
    model: nn.Module, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """The tensors renamed from ``backbone.4.0.conv1``: lightly's ``nn.Sequential(*model.children())``."""
    children = [name for name, _ in model.named_children()]
    renamed = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        for place, part in enumerate(parts):
            if part.isdigit() and int(part) < len(children):
                new = ".".join([children[int(part)], *parts[place + 1 :]])
                if new in wanted:
                    name = ".".join([*parts[:place], new])
                break
        renamed[name] = tensor
    return None if renamed.keys() == tensors.keys() else renamed


def _rank(part: Part) -> int:
    return 0 if _FIRST.search(part.prefix) else 2 if _LAST.search(part.prefix) else 1


def _equal(one: Part, other: Part) -> bool:
    return all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def _why_not(part: Part | None, wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], model: nn.Module) -> str:
    architecture = getattr(model, "pretrained_cfg", {}).get("architecture", "the model")
    if part is None:
        names = _some(list(tensors))
        return f"none of its {len(tensors)} tensors is named as timm names those of {architecture} ({names})"
    missing = [name for name in _missing(part, wanted) if name not in part.tensors]
    shapes = [
        f"{name} is {tuple(part.tensors[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in _missing(part, wanted)
        if name in part.tensors
    ]
    left = [name for name in part.dropped if not _HEADS.match(name)]
    said = [f"{len(wanted) - len(missing) - len(shapes)} of {len(wanted)} tensors of {architecture} are there"]
    said += [f"prefix {part.prefix!r}"] if part.prefix else []
    said += [f"{len(missing)} are missing ({_some(missing)})"] if missing else []
    said += [f"{len(shapes)} have another shape ({_some(shapes)})"] if shapes else []
    said += [f"{len(left)} have names it does not know ({_some(left)})"] if left else []
    size = " or give the --image-size it was trained at" if any("pos" in text for text in shapes) else ""
    return f"{', '.join(said)}; name the --backbone it was trained as{size}"


def _refused(error: Exception) -> str:
    """What a pickle holds besides tensors, by torch's own words."""
    found = re.search(r"GLOBAL ([\w.]+)|class ([\w.]+)", str(error))
    name = (found[1] or found[2]) if found else ""
    what = f"it holds {name} besides tensors" if name else "it holds more than tensors"
    return (
        f"{what}, and a pickle may run code; where you trust it, load it by the program that wrote it and save the "
        "tensors alone: torch.save(model.state_dict(), FILE)"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
