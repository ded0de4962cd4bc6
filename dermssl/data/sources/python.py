"""Data sets made in Python: any map-style ``torch.utils.data.Dataset`` or sequence of (PIL image, label)."""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermssl.data.formats import UnreadableImage
from dermssl.data.records import Records
from dermssl.data.sources import pixels
from dermssl.errors import DermsslError


class DatasetOpener:
    """Images of a data set by their number, which is the name of their path. One thread at a time asks the data set."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._lock = threading.Lock()

    def read(self, path: Path) -> bytes:
        return self.item(int(path.name))[0]

    def state(self, path: Path) -> tuple[int, int]:
        """Nothing but the pixels tells of a change."""
        data = self.read(path)
        return len(data), int.from_bytes(hashlib.sha256(data).digest()[:6], "big")

    def item(self, index: int) -> tuple[bytes, object]:
        """The encoded image and the label (None without one)."""
        with self._lock:
            try:
                item = self._data[index]
            except Exception as error:
                raise UnreadableImage(f"the data set raises {type(error).__name__}: {error}") from error
        image, label = _parts(item)
        if isinstance(image, Image.Image):
            return pixels.of_image(image), label
        if isinstance(image, bytes):
            return image, label
        if isinstance(image, np.ndarray):
            return pixels.of_array(image), label
        raise UnreadableImage(
            f"a {type(image).__name__}, where a PIL image (or uint8 array, or encoded bytes) is expected: make the "
            "data set without its transform"
        )


def read_dataset(data: Any, parts: Sequence[tuple[str, int]] = ()) -> Records:
    """The records of a data set made in Python.

    Args:
        data: has ``len(data)`` and ``data[i]``: a PIL image, ``(image, label)``, or ``{"image": ..., "label": ...}``.
            A label is a text, or a number into ``data.classes`` where it has that; None or -1 is unknown.
        parts: name and length of the splits that ``data`` joins.

    Raises:
        DermsslError: it is not such a data set, holds nothing, or its first image is not one.
    """
    name = type(data).__name__
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        raise DermsslError(
            f"DATA of type {name}: give a path, or a map-style data set: len(data), and data[i] as (PIL image, label)"
        )
    if not len(data):
        raise DermsslError(f"DATA of type {name} is empty")
    opener = DatasetOpener(data)
    try:
        opener.item(0)
    except UnreadableImage as error:
        raise DermsslError(f"DATA of type {name}: its first item is {error}") from error
    texts = _labels(data, opener)
    classes = tuple(sorted({text for text in texts if text is not None}))
    number = {text: index for index, text in enumerate(classes)}
    splits = [part for part, length in parts for _ in range(length)]
    digits = len(str(len(data) - 1))
    ids = tuple(f"{index:0{digits}d}" for index in range(len(data)))
    return Records(
        source=Path(name),
        layout="data set",
        paths=tuple(Path(name) / image for image in ids),
        ids=ids,
        labels=np.array([-1 if text is None else number[text] for text in texts], dtype=np.int64),
        classes=classes,
        attributes={"split": tuple(splits)} if splits else {},
        opener=opener,
    )


def _labels(data: Any, opener: DatasetOpener) -> list[str | None]:
    """The name of each image's class; ``targets``, as torchvision's data sets have them, save the decoding."""
    names = getattr(data, "classes", None)
    targets = getattr(data, "targets", None)
    if targets is None or len(targets) != len(data):
        targets = []
        for index in range(len(data)):
            try:
                targets.append(opener.item(index)[1])
            except UnreadableImage:  # said when the image is asked for
                targets.append(None)
    return [_name(target, names) for target in targets]


def _name(target: Any, names: Sequence[str] | None) -> str | None:
    target = target.item() if hasattr(target, "item") else target
    if target is None or target == -1 or target == "":
        return None
    if isinstance(target, int) and names is not None and 0 <= target < len(names):
        return str(names[target])
    if not isinstance(target, str | int):
        raise DermsslError(f"DATA: a label is {target!r}, where a text or a whole number is expected")
    return str(target)


def _parts(item: Any) -> tuple[Any, Any]:
    if isinstance(item, dict):
        image = next((item[key] for key in ("image", "img") if key in item), None)
        return image, item.get("label")
    if isinstance(item, tuple | list):
        return item[0], item[1] if len(item) > 1 else None
    return item, None
