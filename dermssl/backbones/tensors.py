"""Tensors from a file into a model: all of them, or an error that says what does not fit."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from torch import Tensor, nn

from dermssl.backbones.facts import pretrained_cfg
from dermssl.errors import DermsslError

Value = TypeVar("Value")


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load ``tensors`` into ``model``: those of a classifier are left out, every other one must fit.

    Args:
        model: made by timm with ``num_classes=0``.
        tensors: by timm's own names.
        source: what error messages call the weights.

    Raises:
        DermsslError: a tensor is missing, has another shape or another name. timm itself only logs a line there
            and leaves the model random when it is asked for another number of classes.
    """
    refuse_misfit(model, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, source)
    model.load_state_dict(without_classifier(model, tensors))


def refuse_misfit(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], source: str) -> None:
    """Refuse tensors that ``model`` does not take; only shapes are asked, so it may be on the meta device.

    Args:
        model: made by timm with ``num_classes=0``.
        shapes: of the tensors, by timm's own names; those of a classifier do not count.
        source: what error messages call the weights.

    Raises:
        DermsslError: a tensor is missing, has another shape or another name.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    kept = without_classifier(model, shapes)
    missing = [name for name in own if name not in kept]
    misshapen = [name for name in own if name in kept and kept[name] != own[name]]
    extra = [name for name in kept if name not in own]
    if not (missing or misshapen or extra):
        return
    architecture = pretrained_cfg(model)["architecture"]
    fitting = len(own) - len(missing) - len(misshapen)
    parts = [f"{fitting} of {len(own)} tensors fit {architecture}"]
    parts += [f"{len(missing)} are missing ({_some(missing)})"] if missing else []
    parts += [f"{len(extra)} have names it does not know ({_some(extra)})"] if extra else []
    if misshapen:
        name = misshapen[0]
        parts.append(f"{len(misshapen)} have another shape ({name} is {kept[name]}, not {own[name]})")
    raise DermsslError(f"weights {source}: {', '.join(parts)}. {_advice(own, extra)}")


def without_classifier(model: nn.Module, tensors: Mapping[str, Value]) -> dict[str, Value]:
    """``tensors`` less those of the classifier that timm names in the model's configuration.

    Where the module around it has nothing of the model's own, all of it is the classifier: levit normalises there.
    """
    classifier = pretrained_cfg(model).get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    own = model.state_dict().keys()
    around = {f"{head.rpartition('.')[0]}." for head in heads if "." in head}
    whole = {place for place in around if not any(name.startswith(place) for name in own)}
    # startswith(()) is False: a model without a classifier keeps everything
    prefixes = (*(f"{head}." for head in heads), *whole)
    return {name: t for name, t in tensors.items() if not name.startswith(prefixes)}


def _advice(own: Iterable[str], extra: list[str]) -> str:
    """What to do: the prefix to take off where one is at fault."""
    wanted = set(own)
    for name in extra:
        parts = name.split(".")
        for n in range(1, len(parts)):
            if ".".join(parts[n:]) in wanted:
                prefix = ".".join(parts[:n]) + "."
                found = sum(key.startswith(prefix) and key[len(prefix) :] in wanted for key in extra)
                return (
                    f"Names must be timm's own: {found} of them would be without their prefix {prefix!r}; "
                    "rename the tensors, or export the run again"
                )
    return "The file belongs to another architecture or is damaged; check the architecture in config.json"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
