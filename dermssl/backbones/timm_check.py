"""Load weights the way a user of timm does, and compare every tensor. A script as well: it must not import dermssl.

    python -P timm_check.py '[{"model": "local-dir:FOLDER", "file": "FOLDER/model.safetensors", "config": {...}}, ...]'

Prints one JSON object per model, each on a line: ``{"model", "tensors", "features_only", "problems"}``.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

CLASSES = 7
_WRAPPED = re.compile(r"^(model|body)\.")  # what timm's pyramids that wrap a whole model call it
Create = Callable[..., nn.Module]  # of timm's create_model, all but num_classes and features_only given


def check(create: Create, wanted: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with a model as timm makes it.

    Args:
        create: makes it, with its weights.
        wanted: the tensors that it must have.
        config: the values of its ``pretrained_cfg``, and ``architecture``.

    Returns:
        ``tensors``: how many; ``features_only``: whether it can be a pyramid; ``problems``: a list of sentences.
    """
    result: dict[str, Any] = {"tensors": len(wanted), "features_only": None}
    steps = (strict_load, with_classes, features_only)
    result["problems"] = [problem for step in steps for problem in step(create, wanted, config, result)]
    return result


def strict_load(
    create: Create, wanted: dict[str, Tensor], config: dict[str, Any], result: dict[str, Any]
) -> Iterator[str]:
    """As it is: every tensor, and the preprocessing."""
    model = create()
    own = model.state_dict()
    yield from differences("as exported", own, wanted, missing=lambda key: key not in wanted)
    if model.num_classes != 0:
        yield f"as exported: num_classes is {model.num_classes}, not 0"
    data = timm.data.resolve_model_data_config(model)
    for key in ("input_size", "mean", "std", "crop_pct", "crop_mode", "interpolation"):
        value = data[key] if isinstance(data[key], str | float) else list(data[key])
        if value != config[key]:
            yield f"timm's data configuration has {key} {value}, not {config[key]}"
    result["names"], result["embedding"] = own.keys(), embedding(model, data["input_size"])


def with_classes(
    create: Create, wanted: dict[str, Tensor], config: dict[str, Any], result: dict[str, Any]
) -> Iterator[str]:
    """With a new classifier: every tensor of the backbone, and the same embeddings before the classifier."""
    model = create(num_classes=CLASSES)
    where = f"with num_classes={CLASSES}"
    names, before = result.pop("names"), result.pop("embedding")
    classifier = config["classifier"] or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    # and what stands beside it in a module that the model without one does not have: levit normalises there
    beside = tuple(f"{head.rpartition('.')[0] or head}." for head in heads)
    yield from differences(
        where,
        model.state_dict(),
        wanted,
        missing=lambda key: key in names or (bool(beside) and not key.startswith(beside)),
    )
    after = embedding(model, config["input_size"], before_classifier=True)
    if not torch.allclose(before, after, rtol=1e-4, atol=1e-5):
        yield f"{where}: the embeddings differ by up to {(before - after).abs().max().item():.2g}"


def features_only(
    create: Create, wanted: dict[str, Tensor], config: dict[str, Any], result: dict[str, Any]
) -> Iterator[str]:
    """As a pyramid of features, where the architecture can: every tensor it keeps."""
    try:
        model = create(features_only=True)
    except Exception as error:
        try:
            timm.create_model(config["architecture"], pretrained=False, features_only=True)
        except Exception:
            result["features_only"] = False  # not for this architecture, whatever the weights
            return
        yield f"features_only: {type(error).__name__}: {error}"
        return
    result["features_only"] = True
    # timm renames levels ("blocks.0" is "blocks_0") or wraps the model
    names = {key.replace(".", "_"): tensor for key, tensor in wanted.items()}
    own = {_WRAPPED.sub("", key).replace(".", "_"): tensor for key, tensor in model.state_dict().items()}
    own = {key: tensor for key, tensor in own.items() if not key.startswith("head_")}
    yield from differences("features_only", own, names, missing=lambda key: True, all_used=False)


def differences(
    where: str,
    own: dict[str, Tensor],
    wanted: dict[str, Tensor],
    *,
    missing: Callable[[str], bool],
    all_used: bool = True,
) -> Iterator[str]:
    """Tensors of the loaded model that are not those of the file.

    Args:
        missing: whether a name that the file lacks is a fault.
        all_used: whether every tensor of the file must be in the model.
    """
    random = [key for key in own if key not in wanted and missing(key)]
    unequal = [key for key in own if key in wanted and not same(own[key], wanted[key])]
    unused = [key for key in wanted if key not in own] if all_used else []
    for keys, what in (
        (random, "stayed random"),
        (unequal, "differ from the file"),
        (unused, "of the file were not used"),
    ):
        if keys:
            yield f"{where}: {len(keys)} tensors {what} ({', '.join(keys[:3])})"
    if not own.keys() & wanted.keys():
        yield f"{where}: not one tensor came from the file"


def same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


@torch.inference_mode()
def embedding(model: nn.Module, size: Any, *, before_classifier: bool = False) -> Tensor:
    """(1, D) pooled features of a fixed image."""
    image = torch.linspace(-2, 2, 3 * size[-2] * size[-1]).reshape(1, 3, size[-2], size[-1]).sin()
    model.eval()
    if before_classifier:
        return model.forward_head(model.forward_features(image), pre_logits=True)  # type: ignore[operator]
    return model(image)


if __name__ == "__main__":
    for job in json.loads(sys.argv[1]):
        try:
            create = partial(timm.create_model, job["model"], pretrained=True)
            answer = check(create, load_file(job["file"]), job["config"])
        except Exception as error:
            answer = {"problems": [f"{type(error).__name__}: {error}"]}
        print(json.dumps({"model": job["model"], **answer}), flush=True)
    if "dermssl" in sys.modules:
        sys.exit("dermssl was imported")
