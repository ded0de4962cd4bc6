"""Data sets made in Python: any map-style ``torch.utils.data.Dataset`` or sequence of (PIL image, label)."""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermssl.data.formats import UnreadableImage
from dermssl.data.joining import groups_of
from dermssl.data.layouts.beside import LESIONS, PATIENTS, column_of
from dermssl.data.layouts.found import Row
from dermssl.data.layouts.table import known
from dermssl.data.parts import COLUMN, spelled
from dermssl.data.records import Kind, Problem, Records
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
        image, label, _ = _parts(self.raw(index))
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

    def raw(self, index: int) -> Any:
        """What the data set gives.

        Raises:
            UnreadableImage: it raises.
        """
        with self._lock:
            try:
                return self._data[index]
            except Exception as error:
                raise UnreadableImage(f"the data set raises {type(error).__name__}: {error}") from error


def read_dataset(data: Any, parts: Sequence[tuple[str, int]] = ()) -> Records:
    """The records of a data set made in Python.

    Args:
        data: has ``len(data)`` and ``data[i]``: a PIL image, ``(image, label)``, or ``{"image": ..., "label": ...}``.
            A label is a text, or a number into ``data.classes`` where it has that; None or -1 is unknown. Further texts
            and numbers of a dictionary are columns, as those of a CSV: ``lesion_id``, ``patient_id``, ``split``.
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
    texts, columns, problems = _labels(data, opener)
    classes = tuple(sorted({text for text in texts if text is not None}))
    number = {text: index for index, text in enumerate(classes)}
    splits = [part for part, length in parts for _ in range(length)]
    digits = len(str(len(data) - 1))
    ids = tuple(f"{index:0{digits}d}" for index in range(len(data)))
    attributes = {"split": tuple(splits)} if splits else {key: _texts(values) for key, values in columns.items()}
    if COLUMN in attributes:
        attributes[COLUMN] = spelled(attributes[COLUMN])
    groups, more = _groups(ids, attributes)
    return Records(
        source=Path(name),
        layout="data set",
        paths=tuple(Path(name) / image for image in ids),
        ids=ids,
        labels=np.array([-1 if text is None else number[text] for text in texts], dtype=np.int64),
        classes=classes,
        groups=groups,
        attributes=attributes,
        problems=(*problems, *more),
        opener=opener,
    )


def _labels(data: Any, opener: DatasetOpener) -> tuple[list[str | None], dict[str, list[Any]], list[Problem]]:
    """The name of each image's class, the further columns, and what is left out.

    ``targets``, as torchvision's data sets have them, save the reading of all items.
    """
    names = getattr(data, "classes", None)
    if names is None:  # of a data set of the Hub
        names = getattr((getattr(data, "features", None) or {}).get("label"), "names", None)
    targets = getattr(data, "targets", None)
    if targets is not None and len(targets) == len(data):
        return [_name(target, names) for target in targets], {}, []
    labels: list[str | None] = []
    columns: dict[str, list[Any]] = {}
    left_out: set[str] = set()
    for index in range(len(data)):
        try:
            _, label, further = _parts(opener.raw(index))
        except UnreadableImage:  # said when the image is asked for
            label, further = None, {}
        labels.append(_name(label, names))
        for key, value in further.items():
            value = value.item() if getattr(value, "shape", None) == () else value  # a number of numpy or torch
            if isinstance(value, str | int | float) or value is None:
                columns.setdefault(key, [None] * len(data))[index] = value
            else:
                left_out.add(key)
    problems = [
        Problem(key, "a part of the items that is neither a text nor a number: left out", Kind.LEFT_OUT)
        for key in sorted(left_out)
    ]
    return labels, columns, problems


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple("" if value is None or value != value else str(value).strip() for value in values)


def _groups(ids: Sequence[str], columns: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...] | None, list[Problem]]:
    lesion, patient = (columns.get(column_of(columns, some)) for some in (LESIONS, PATIENTS))
    rows = [
        Row(image, Path(image), None, known(lesion[i]) if lesion else None, known(patient[i]) if patient else None)
        for i, image in enumerate(ids)
    ]
    return groups_of(rows)


def _name(target: Any, names: Sequence[str] | None) -> str | None:
    target = target.item() if hasattr(target, "item") else target
    if target is None or target == -1 or target == "":
        return None
    if isinstance(target, int) and names is not None and 0 <= target < len(names):
        return str(names[target])
    if not isinstance(target, str | int):
        raise DermsslError(f"DATA: a label is {target!r}, where a text or a whole number is expected")
    return str(target)


def _parts(item: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Image, label and what else an item holds, by its name or its place."""
    if isinstance(item, dict):
        image = next((key for key in ("image", "img") if key in item), "")
        further = {str(key): value for key, value in item.items() if key not in (image, "label")}
        return item.get(image), item.get("label"), further
    if isinstance(item, tuple | list):
        return item[0], item[1] if len(item) > 1 else None, {f"item {n}": item[n] for n in range(2, len(item))}
    return item, None, {}
