"""Where one or several backbones look: the activation maps of a few images, side by side."""

import dataclasses
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from dermssl.backbones.borrowed import borrowed
from dermssl.backbones.described import CONFIG
from dermssl.backbones.facts import Framing, framing, normalisation
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE, load_backbone, read_fitting, weights_folder
from dermssl.backbones.sizes import refusal, resolve_image_size
from dermssl.data.cache import Cache
from dermssl.data.columns import by_columns
from dermssl.documents import damaged, read_json
from dermssl.errors import DermsslError
from dermssl.evaluation.activation import activation_maps, positions
from dermssl.evaluation.arguments import CamOptions
from dermssl.evaluation.cam_images import CamImages, Shape, choose, own_fit
from dermssl.evaluation.features import to_input
from dermssl.evaluation.setup import Setup
from dermssl.options import takes
from dermssl.privacy import spoken, told_apart

LOGGER = logging.getLogger("dermssl")

BATCH = 8
# At each side of a map. A ResNet18 at 64 px ends in 2 x 2, whose bottom right corner, the one without zero padding,
# was the hottest of 96 % of 200 photographs.
POSITIONS = 7
MOST_PIXELS = 1024  # of the edge that is chosen for it
_CONFIG = {**CONFIG, "num_classes?": int, "label_names?": [str]}
_AGAIN = "save the model again with finetune --output"
MEAN_OF = 64  # photographs drawn at random for the mean map


@dataclass(frozen=True)
class CamMaps:
    """What one set of weights makes of the images.

    Attributes:
        weights: as they were named.
        maps: (N, h, w) float32, larger where the network found more of the target; not scaled.
        targets: (N,) the class looked for in each image, "" without a class.
        probabilities: (N,) what the classifier gives that class; NaN without a class.
        image_size: edge in pixels that the network saw.
        fit: how the image became that square; the map covers what was left of it.
        mean: (h, w) float32, the mean of the maps of photographs drawn at random, each as a share of its own mean:
            what the network prefers wherever the lesion is. None for a single image.
        mean_of: how many they are.
        own_size: edge in pixels of the weights' own, where the map has ``own_positions`` at each side.
    """

    weights: str
    maps: np.ndarray
    targets: tuple[str, ...]
    probabilities: np.ndarray
    image_size: int
    fit: Framing
    mean: np.ndarray | None
    mean_of: int
    own_size: int
    own_positions: int


@dataclass(frozen=True)
class Cam:
    """The result of `class_activation`.

    Attributes:
        data: as it was named.
        images: names, labels and, by ``pixels(index)``, the pixels of the N images.
        results: one for each set of weights, in their order.
        method: ``"gradcam"`` or ``"cam"``.
    """

    data: str
    images: CamImages
    results: tuple[CamMaps, ...]
    method: str

    def to_dict(self) -> dict[str, Any]:
        """What each picture of the page shows, in their order, without maps or pixels; what ``--json`` prints."""
        names = told_apart([result.weights for result in self.results])
        shown = [
            {
                "image": image,
                "label": self.images.labels[i] or None,
                "weights": name,
                "class": result.targets[i] or None,
                "probability": None if math.isnan(result.probabilities[i]) else float(result.probabilities[i]),
                "image_size": result.image_size,
            }
            for i, image in enumerate(self.images.ids)
            for name, result in zip(names, self.results, strict=True)
        ]
        return {"data": spoken(self.data), "method": self.method, "overlays": shown}


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
        options: the fields of `CamOptions`, by keyword. By default the network sees the images large enough for a map
            of ``POSITIONS`` at each side: the zero padding at the edge of a coarser one is hotter than any lesion.

    Raises:
        DermsslError: an option is out of range, no image can be read, a class is unknown to the classifier (or none
            of the weights has classes), or an architecture has no single map.
    """
    method, target, seed = options.method, options.target, options.seed
    if isinstance(weights, str | Path | nn.Module):
        weights = [weights]
    if not weights:
        raise DermsslError("cam: name one set of WEIGHTS or more")
    named = by_columns(images, options.label, options.group)
    fit = own_fit(named)
    views = [_view(entry, options, fit) for entry in weights]
    wanted = [_wanted(view.setup.model, target, view.setup.name) for view in views]
    if target is not None and all(one is None for one in wanted):
        raise DermsslError(
            f"--class {target}: none of the weights has a classifier; give a folder that dermssl finetune --output "
            "wrote, or leave --class out"
        )
    shapes = {shape for view in views for shape in (view.shape, view.asked)}
    chosen, squares = choose(named, options.limit, shapes)
    drawn: dict[Shape, np.ndarray] = {}
    if len(chosen) > 1:
        drawn = choose(named, MEAN_OF, shapes, drawn_by=seed)[1]
    results = [_look(view, squares, drawn, method, one) for view, one in zip(views, wanted, strict=True)]
    return Cam(str(images.records.source if isinstance(images, Cache) else images), chosen, tuple(results), method)


@dataclass(frozen=True)
class _View:
    """A network, large enough for its map, and what it would have seen by itself."""

    setup: Setup
    own_size: int
    own_positions: int

    @property
    def shape(self) -> Shape:
        return self.setup.image_size, self.setup.fit

    @property
    def asked(self) -> Shape:
        """What the classifier is asked about: it was trained at its own size, if the network still takes that."""
        fits = self.own_size == self.setup.image_size or refusal(self.setup.model, self.own_size) is None
        return (self.own_size, self.setup.fit) if fits else self.shape


def _view(weights: str | Path | nn.Module, options: CamOptions, fit: Framing | None) -> _View:
    own = Setup.by(weights, options, image_size=None, fit=fit, load=_load)
    if fit is not None and fit != framing(own.model):
        LOGGER.warning("IMAGES were prepared with --fit %s, where %s asks for %s", fit, own.name, framing(own.model))
    there = positions(own.model, own.image_size)
    size = options.image_size
    if size is None and there < POSITIONS:
        size = min(math.ceil(own.image_size * POSITIONS / there), MOST_PIXELS)
    if size is None:
        return _View(own, own.image_size, there)
    try:
        resolve_image_size(own.model, size, adapt=not isinstance(weights, nn.Module))
    except DermsslError:
        if options.image_size is not None:
            raise
        LOGGER.info("%s takes no larger images: its map stays at %d x %d positions", own.name, there, there)
        return _View(own, own.image_size, there)
    return _View(dataclasses.replace(own, image_size=size), own.image_size, there)


def _look(
    view: _View, squares: dict[Shape, np.ndarray], drawn: dict[Shape, np.ndarray], method: str, wanted: int | None
) -> CamMaps:
    """The maps of all images, and the mean map of those drawn at random."""
    setup = view.setup
    with borrowed(setup.model, setup.device):
        index, answers = _answers(view, squares[view.asked], wanted)
        maps = _maps(setup, squares[view.shape], method, index)
        mean = None
        if drawn:
            others = _maps(setup, drawn[view.shape], method, _answers(view, drawn[view.asked], wanted)[0])
            level = others.mean(axis=(1, 2), keepdims=True)
            mean = (others / np.where(level > 0, level, 1)).mean(axis=0)
    names = [] if index is None else _class_names(setup.model)
    targets = ("",) * len(maps) if index is None else tuple(names[i] for i in index.tolist())
    return CamMaps(
        weights=setup.name,
        maps=maps,
        targets=targets,
        probabilities=answers,
        image_size=setup.image_size,
        fit=setup.fit,
        mean=mean,
        mean_of=len(drawn[view.shape]) if drawn else 0,
        own_size=view.own_size,
        own_positions=view.own_positions,
    )


def _answers(view: _View, squares: np.ndarray, wanted: int | None) -> tuple[torch.Tensor | None, np.ndarray]:
    """(N,) the class to look for in each image, None without classes; (N,) its probability, NaN without."""
    model = view.setup.model
    if wanted is None:
        return None, np.full(len(squares), np.nan)
    with torch.no_grad():
        logits = torch.cat([model(batch).cpu() for batch in _inputs(view.setup, squares, view.asked[0])])
    index = logits.argmax(dim=1) if wanted == -1 else torch.full((len(logits),), wanted)
    return index, logits.float().softmax(dim=1)[torch.arange(len(logits)), index].numpy()


def _maps(setup: Setup, squares: np.ndarray, method: str, index: torch.Tensor | None) -> np.ndarray:
    """(N, h, w) maps of the squares for the classes (N,), batch by batch."""
    maps = []
    for number, inputs in enumerate(_inputs(setup, squares, setup.image_size)):
        target = None if index is None else index[number * BATCH : (number + 1) * BATCH]
        maps.append(activation_maps(setup.model, inputs, method=method, target=target)[0].cpu().numpy())
    result = np.concatenate(maps)
    if not np.isfinite(result).all():
        raise DermsslError(
            f"{setup.name}: its activation maps are NaN or infinite: the weights are broken; restore them from a copy, "
            "or train again"
        )
    return result


def _inputs(setup: Setup, squares: np.ndarray, size: int) -> Iterator[torch.Tensor]:
    """Batches of the squares as the network sees them at ``size``."""
    mean, std = normalisation(setup.model)
    for start in range(0, len(squares), BATCH):
        batch = torch.from_numpy(squares[start : start + BATCH]).to(setup.device)
        yield to_input(batch, size, mean, std)


def _load(weights: str | Path, *, seed: int) -> nn.Module:
    """The backbone, with its classifier where ``weights`` is a folder of a fitted model."""
    folder = weights_folder(weights)
    # a run's own backbone/ has no classifier; a missing file is told by load_backbone
    if folder is not None and (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
        try:
            config = read_json(folder / CONFIG_FILE, "the configuration of a model", _CONFIG, remedy=_AGAIN)
            count = config.get("num_classes", 0)
            if len(config.get("label_names", range(count))) != count:
                raise damaged(folder / CONFIG_FILE, "the configuration of a model", "not a name for each class", _AGAIN)
            if count:
                shapes = read_fitting(str(weights), folder / CONFIG_FILE, folder / WEIGHTS_FILE).shapes.values()
                if not any(shape[:1] == (count,) for shape in shapes):
                    fault = f"the weights are of another number of classes than {count:,}"
                    raise damaged(folder / CONFIG_FILE, "the configuration of a model", fault, _AGAIN)
                with torch.random.fork_rng(devices=[]):
                    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        except DermsslError:
            raise
        except Exception as error:  # timm and safetensors raise many kinds
            raise DermsslError(f"weights {weights}: not a model that timm can load: {error}; {_AGAIN}") from error
    return load_backbone(weights, seed=seed)


def _wanted(model: Any, target: str | None, name: str) -> int | None:
    """The index of the class to look for; -1 for the predicted one, ``None`` if the model has no classes."""
    if not model.num_classes:
        if target is not None:
            LOGGER.info("%s has no classes: its map shows its features, not the class %s", name, target)
        return None
    if target is None:
        return -1
    names = _class_names(model)
    if target not in names:
        raise DermsslError(f"--class {target}: {name} has only {', '.join(names)}")
    return names.index(target)


def _class_names(model: Any) -> list[str]:
    names = (getattr(model, "pretrained_cfg", None) or {}).get("label_names")
    return list(names) if names else [str(i) for i in range(model.num_classes)]
