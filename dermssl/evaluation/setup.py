"""What every evaluation works out first: which network, seeing what, computed where."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermssl.backbones.facts import Framing, framing, name_of
from dermssl.backbones.load import load_backbone, weights_sha256
from dermssl.backbones.sizes import resolve_image_size
from dermssl.data.cache import Cache, source_size
from dermssl.data.columns import by_columns
from dermssl.data.mapped import CutShort
from dermssl.data.prepare import cached
from dermssl.data.read import renamed_cache
from dermssl.devices import resolve_device, resolve_precision
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import FeatureOptions, FoldOptions
from dermssl.evaluation.features import extract_features
from dermssl.evaluation.labelled import LabelledImages, open_labelled
from dermssl.evaluation.protocol import Protocol, make_protocol
from dermssl.evaluation.subgroups import check_columns
from dermssl.malloc import keep_freed_memory

Weights = str | Path | nn.Module


@dataclass(frozen=True)
class Setup:
    """A network and how images get into it.

    Attributes:
        model: a timm model.
        name: what a report calls it.
        sha256: of the file of its weights; "" where they are none on this machine.
        image_size: edge in pixels that it sees.
        fit: how an image becomes square.
        device, dtype: where and in which precision it is computed.
        batch_size: images per forward pass; does not affect the figures.
        progress: show bars on standard error.
        label, group: columns of the data with the class and the lesion; None = as its layout has them.
    """

    model: nn.Module
    name: str
    image_size: int
    fit: Framing
    device: torch.device
    dtype: torch.dtype
    sha256: str = ""
    batch_size: int = 256
    progress: bool = False
    label: str | None = None
    group: str | None = None

    @classmethod
    def by(cls, weights: Weights, options: FeatureOptions, **more: Any) -> "Setup":
        """As :meth:`of`, from the options of an evaluation; ``more`` overrules them."""
        names = ("image_size", "fit", "seed", "device", "precision", "batch_size", "progress", "label", "group")
        given = {name: getattr(options, name) for name in names if hasattr(options, name)}
        return cls.of(weights, **{**given, **more})

    @classmethod
    def of(
        cls,
        weights: Weights,
        *,
        image_size: int | None = None,
        fit: Framing | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        precision: str = "fp32",
        batch_size: int = 256,
        progress: bool = False,
        label: str | None = None,
        group: str | None = None,
        load: Callable[..., nn.Module] = load_backbone,
    ) -> "Setup":
        """Load the weights; what is not given comes from their own configuration.

        Args:
            weights: a WEIGHTS argument, or a timm model, which is used as it is.
            image_size: edge in pixels; default: that of the weights.
            fit: ``"squash"`` or ``"crop"``; default: as the weights were trained.
            seed: of the weights of ``random:NAME``.
            device: ``auto``, ``cpu``, ``cuda`` or a torch device.
            precision: ``auto``, ``fp32`` or ``bf16``.
            load: from a WEIGHTS argument to a model, called with ``seed``.

        Raises:
            DermsslError: an option is out of range, there are no such weights, or they do not take that size.
        """
        where = resolve_device(device)
        if where.type == "cpu":
            keep_freed_memory()
        dtype = resolve_precision(precision, where)
        given = isinstance(weights, nn.Module)
        model = weights if isinstance(weights, nn.Module) else load(weights, seed=seed)
        return cls(
            model=model,
            name=name_of(weights),
            image_size=resolve_image_size(model, image_size, adapt=not given),
            fit=framing(model) if fit is None else fit,
            device=where,
            dtype=dtype,
            sha256="" if isinstance(weights, nn.Module) else weights_sha256(weights),
            batch_size=batch_size,
            progress=progress,
            label=label,
            group=group,
        )

    def open(self, data: str | Path | Cache, *, option: str = "DATA") -> LabelledImages:
        """The labelled images of ``data``, in the size and framing that the network sees."""
        named = by_columns(data, self.label, self.group)
        data = renamed_cache(data, named) if isinstance(data, Cache) else named
        return open_labelled(data, image_size=self.image_size, fit=self.fit, option=option, progress=self.progress)

    def views(self, data: str | Path | Cache, of: LabelledImages) -> Cache:
        """The same images as training cuts its views from them: larger than what the network sees, shapes known.

        Args:
            of: what `open` made of ``data``, or a part of it; its ``rows`` are those of the result.

        Raises:
            DermsslError: a file has changed since.
        """
        if isinstance(data, Cache):
            return data.views or data
        data = by_columns(data, self.label, self.group)
        cache = cached(data, size=source_size(self.image_size), fit=self.fit, progress=self.progress)
        if np.array(cache.hashes, dtype=str)[of.rows[of.rows < len(cache.hashes)]].tolist() != of.hashes.tolist():
            raise DermsslError(f"{of.source}: its images have changed while they were read; start again")
        return cache

    def features(self, images: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(N, D) float32: the pooled features of images (P, S, S, 3) uint8, or of some rows of them."""
        try:
            return extract_features(
                self.model,
                images,
                rows=rows,
                image_size=self.image_size,
                device=self.device,
                precision=self.dtype,
                batch_size=self.batch_size,
                progress=self.progress,
            )
        except CutShort:
            raise
        except DermsslError as error:
            raise DermsslError(f"weights {self.name}: {error}") from error

    def about(self, images: LabelledImages) -> dict[str, Any]:
        """What affects the features, for a report's protocol."""
        return {
            "image_size": self.image_size,
            "cache_size": images.about["cache_size"],
            "fit": images.about["fit"],
            "resize": images.about["resize"],
            "precision": str(self.dtype).removeprefix("torch."),
            **{name: value for name, value in (("label", self.label), ("group", self.group)) if value is not None},
        }


def divide(
    setup: Setup,
    data: str | Path | Cache,
    options: FoldOptions,
) -> tuple[Protocol, tuple[str, ...]]:
    """Open the labelled images and divide them.

    Returns:
        the protocol, and the columns of the test images that ``by`` names.

    Raises:
        DermsslError: see `open_labelled`, `make_protocol` and `check_columns`.
    """
    train = setup.open(data)
    other = None if options.test is None else setup.open(options.test, option="--test")
    protocol = make_protocol(
        train, other, folds=options.folds, split=options.split, join=options.join, seed=options.seed
    )
    return protocol, check_columns(options.by, protocol.test, "DATA" if other is None else "--test")


def features_of(setup: Setup, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) features of the training images and (M, D) of the test images; one array where these are the same."""
    train = setup.features(protocol.train.images, protocol.train.rows)
    if protocol.test is protocol.train:
        return train, train
    return train, setup.features(protocol.test.images, protocol.test.rows)
