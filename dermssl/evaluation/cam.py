"""Where one or several backbones look: the activation maps of a few images, side by side."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn

from dermssl.backbones.facts import name_of, normalisation
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE, load_backbone, weights_folder
from dermssl.backbones.sizes import resolve_image_size
from dermssl.data.cache import Cache, open_cache, source_size
from dermssl.data.cache_files import is_cache
from dermssl.data.decode import UnreadableImage, decode, decode_whole
from dermssl.data.layouts.found import is_image
from dermssl.data.opener import FILES, Opener
from dermssl.data.read import read_records
from dermssl.data.records import Records
from dermssl.devices import resolve_device
from dermssl.errors import DermsslError
from dermssl.evaluation.activation import activation_maps
from dermssl.evaluation.arguments import CamOptions
from dermssl.evaluation.features import to_input
from dermssl.options import takes

logger = logging.getLogger("dermssl")

BATCH = 8


@dataclass(frozen=True)
class CamImages:
    """The images that were looked at.

    Attributes:
        ids: (N,) their names.
        labels: (N,) name of the class, "" where unknown.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    _read: tuple[Callable[[], np.ndarray], ...]

    def __len__(self) -> int:
        return len(self.ids)

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 at the image's own resolution, read when asked for."""
        return self._read[index]()


@dataclass(frozen=True)
class CamMaps:
    """What one set of weights makes of the images.

    Attributes:
        weights: as they were named.
        maps: (N, h, w) float32, larger where the network found more of the target; not scaled.
        targets: (N,) the class looked for in each image, "" without a class.
        probabilities: (N,) what the classifier gives that class; NaN without a class.
        image_size: edge in pixels that the network saw.
    """

    weights: str
    maps: np.ndarray
    targets: tuple[str, ...]
    probabilities: np.ndarray
    image_size: int


@dataclass(frozen=True)
class Cam:
    """The result of `class_activation`."""

    data: str  # as it was named
    images: CamImages
    results: tuple[CamMaps, ...]  # one for each set of weights, in their order
    method: str


@takes(CamOptions)
def class_activation(
    weights: str | Path | nn.Module | Sequence[str | Path | nn.Module],
    images: str | Path | Cache,
    options: CamOptions,
) -> Cam:
    """Activation maps (CAM, Grad-CAM) of one or several backbones for a few images, as the paper's Figure 6.

    A folder that ``finetune(output=...)`` wrote has classes: the map is that of the predicted class, or of
    ``target``. A backbone has none: its map shows what makes up the length of the pooled features (see
    ``evaluation/activation.py``).

    Args:
        weights: one or more of: a run or exported directory, a fitted model's folder, a ``.safetensors`` file,
            ``hf-hub:org/name``, ``timm:NAME``, ``random:NAME``, a timm model.
        images: an image file or a data set. Of labelled images, each class in turn gives one.
        options: the fields of `CamOptions`, by keyword. The whole image is squeezed into the network's square, so
            the map covers all of it.

    Raises:
        DermsslError: an option is out of range, no image can be read, a class is unknown to the classifier (or none
            of the weights has classes), or an architecture has no single map.
    """
    method, target, seed = options.method, options.target, options.seed
    if isinstance(weights, str | Path | nn.Module):
        weights = [weights]
    if not weights:
        raise DermsslError("cam: name one set of WEIGHTS or more")
    where = resolve_device(options.device)
    models = []
    for entry in weights:
        model = entry if isinstance(entry, nn.Module) else _load(entry, seed)
        size = resolve_image_size(model, options.image_size, adapt=not isinstance(entry, nn.Module))
        models.append((name_of(entry), model, size, _wanted(model, target, name_of(entry))))
    if target is not None and all(wanted is None for *_, wanted in models):
        raise DermsslError(
            f"--class {target}: none of the weights has a classifier; give a folder that dermssl finetune --output "
            "wrote, or leave --class out"
        )
    chosen, squares = _choose(images, options.limit, {source_size(size) for _, _, size, _ in models})
    results = [
        _look(name, model, squares[source_size(size)], size, method, wanted, where)
        for name, model, size, wanted in models
    ]
    return Cam(str(images.records.source if isinstance(images, Cache) else images), chosen, tuple(results), method)


def _look(
    name: str, model: Any, squares: np.ndarray, size: int, method: str, wanted: int | None, where: torch.device
) -> CamMaps:
    """The maps of all images, batch by batch; the model's mode and device are as before afterwards."""
    mean, std = normalisation(model)
    home = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    maps, targets, probabilities = [], [], []
    try:
        model.to(where).eval()
        for start in range(0, len(squares), BATCH):
            inputs = to_input(torch.from_numpy(squares[start : start + BATCH]).to(where), size, mean, std)
            part, logits = activation_maps(model, inputs, method=method, target=wanted)
            maps.append(part.cpu().numpy())
            if logits is not None and wanted is not None:
                index = logits.argmax(dim=1) if wanted == -1 else torch.full((len(logits),), wanted)
                answers = logits.softmax(dim=1).cpu()
                targets += [_class_names(model)[i] for i in index.tolist()]
                probabilities += answers[torch.arange(len(answers)), index.cpu()].tolist()
    finally:
        model.to(home)
        for module, training in modes.items():
            module.training = training
    result = np.concatenate(maps)
    if not np.isfinite(result).all():
        raise DermsslError(f"{name}: its activation maps are NaN or infinite; the weights are broken")
    return CamMaps(
        name,
        result,
        tuple(targets) if wanted is not None else ("",) * len(result),
        np.array(probabilities) if wanted is not None else np.full(len(result), np.nan),
        size,
    )


def _load(weights: str | Path, seed: int) -> nn.Module:
    """The backbone, with its classifier where ``weights`` is a folder of a fitted model."""
    folder = weights_folder(weights)
    # a run's own backbone/ has no classifier; a missing file is told by load_backbone
    if folder is not None and (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
        try:
            classes = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")).get("num_classes", 0)
            if classes:
                with torch.random.fork_rng(devices=[]):
                    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        except Exception as error:  # timm and safetensors raise many kinds
            raise DermsslError(f"weights {weights}: not a model that timm can load: {error}") from error
    return load_backbone(weights, seed=seed)


def _wanted(model: Any, target: str | None, name: str) -> int | None:
    """The index of the class to look for; -1 for the predicted one, ``None`` if the model has no classes."""
    if not model.num_classes:
        if target is not None:
            logger.info("%s has no classes: its map shows its features, not the class %s", name, target)
        return None
    if target is None:
        return -1
    names = _class_names(model)
    if target not in names:
        raise DermsslError(f"--class {target}: {name} knows {', '.join(names)}")
    return names.index(target)


def _class_names(model: Any) -> list[str]:
    names = (getattr(model, "pretrained_cfg", None) or {}).get("label_names")
    return list(names) if names else [str(i) for i in range(model.num_classes)]


def _choose(data: str | Path | Cache, limit: int, sizes: set[int]) -> tuple[CamImages, dict[int, np.ndarray]]:
    """The first ``limit`` readable images, and all of them as squares of the given sizes, (N, S, S, 3) uint8."""
    ids: list[str] = []
    labels: list[str] = []
    readers: list[Callable[[], np.ndarray]] = []
    squares: dict[int, list[np.ndarray]] = {size: [] for size in sizes}
    bad = 0
    for name, label, whole, square in _candidates(data):
        if len(ids) == limit:
            break
        try:
            for size in sizes:
                squares[size].append(square(size))
        except UnreadableImage as error:
            bad += 1
            logger.warning("%s: %s; left out", name, error)
            continue
        ids.append(name)
        labels.append(label)
        readers.append(whole)
    if not ids:
        raise DermsslError(f"{data}: none of its images can be read ({bad} tried)")
    stacked = {size: np.stack(images) for size, images in squares.items()}
    return CamImages(tuple(ids), tuple(labels), tuple(readers)), stacked


Candidate = tuple[str, str, Callable[[], np.ndarray], Callable[[int], np.ndarray]]


def _candidates(data: str | Path | Cache) -> Iterator[Candidate]:
    """Name, class, reader of the whole image, reader of the square that the evaluations see; one an image."""
    if isinstance(data, Cache) or is_cache(Path(data).expanduser()):
        cache = data if isinstance(data, Cache) else open_cache(data)
        for row in _in_turn(cache.records):
            yield _of_cache(cache, row)
        return
    path = Path(data).expanduser()
    if path.is_file() and is_image(path):
        yield _of_file(path, path.name, "")
        return
    records = read_records(path)
    for row in _in_turn(records):
        yield _of_file(records.paths[row], records.ids[row], _label(records, row), records.opener)


def _of_file(path: Path, name: str, label: str, opener: Opener = FILES) -> Candidate:
    return name, label, lambda: decode_whole(opener.read(path)), lambda size: decode(opener.read(path), size)


def _of_cache(cache: Cache, row: int) -> Candidate:
    name, label = cache.records.ids[row], _label(cache.records, row)
    return name, label, lambda: np.array(cache.images[row]), lambda size: _fit(cache.images[row], size)


def _fit(pixels: np.ndarray, size: int) -> np.ndarray:
    if len(pixels) <= size:  # a cache with smaller images is used as it is, as in the evaluations
        size = len(pixels)
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0))


def _label(records: Records, row: int) -> str:
    return records.classes[records.labels[row]] if records.labels[row] >= 0 else ""


def _in_turn(records: Records) -> list[int]:
    """Rows in their order, but one of each class after the other, so that a few images show all classes."""
    place: dict[int, int] = {}
    order = []
    for row, label in enumerate(records.labels.tolist()):
        place[label] = place.get(label, -1) + 1
        order.append((place[label], label, row))
    return [row for *_, row in sorted(order)]
