"""The arrays of images in a file, and those that go with them, by the names that people give them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dermssl.data.layouts.beside import LESIONS, PATIENTS, column_of
from dermssl.data.parts import part_of
from dermssl.data.records import Kind, Problem
from dermssl.data.sources.container import Contents, Member
from dermssl.errors import DermsslError

# How names of arrays spell the parts.
SPLITS = {word: part_of(word) for word in ("train", "val", "valid", "validation", "dev", "test")}


class Part(NamedTuple):
    """The arrays of a part of a set, or of all of it (split and word are "")."""

    split: str
    word: str  # how the names of its arrays spell the split
    images: str
    labels: str


def parts_of(is_there: Callable[[str], bool]) -> list[Part]:
    """The images and the labels of each part, by the names that people give them."""
    spelled = (("{}_images", "{}_labels"), ("{}/images", "{}/labels"), ("x_{}", "y_{}"), ("X_{}", "y_{}"))
    pairs = [Part(split, word, x.format(word), y.format(word)) for x, y in spelled for word, split in SPLITS.items()]
    first = {part.split: part for part in reversed(pairs) if is_there(part.images)}
    pairs = [first[split] for split in dict.fromkeys(SPLITS.values()) if split in first]
    return pairs or [Part("", "", x, y) for x, y in (("images", "labels"), ("x", "y"), ("X", "y")) if is_there(x)][:1]


def columns_of(part: Part, shapes: dict[str, tuple[tuple[int, ...], np.dtype]]) -> dict[str, str]:
    """Column -> array: those with one value for each image of a part, such as its patient."""
    count = shapes[part.images][0][0]
    found: dict[str, str] = {}
    for name, (shape, dtype) in shapes.items():
        column = _without_word(name, part.word)
        objects = dtype.hasobject and dtype.metadata is None  # of Python; the texts of an HDF5 file say what they are
        if not column or shape not in ((count,), (count, 1)) or objects or name == part.labels:
            continue
        single = column.removesuffix("s")
        column = single if column_of([single], (*LESIONS, *PATIENTS)) else column
        if column not in ("image", "label", *(["split"] if part.split else [])):
            found.setdefault(column, name)
    return found


def _without_word(name: str, word: str) -> str:
    """``patient`` of ``train_patient``, ``train/patient`` and ``patient_train``; "" of what is not of this part."""
    if not word:
        return name
    before = name.removeprefix(f"{word}_").removeprefix(f"{word}/")
    return before if before != name else name.removesuffix(f"_{word}") if name.endswith(f"_{word}") else ""


def unused(path: Path, parts: list[Part], shapes: dict[str, tuple[tuple[int, ...], np.dtype]]) -> list[Problem]:
    """What is said of the arrays that are neither images, nor labels, nor columns."""
    used = {name for part in parts for name in (part.images, part.labels, *columns_of(part, shapes).values())}
    return [
        Problem(
            f"{path.name}/{name}",
            f"an array {dtype} {shape} that is not read: it has not one value for each image of a part",
            Kind.LEFT_OUT,
        )
        for name, (shape, dtype) in shapes.items()
        if name not in used
    ]


def classes_of(texts: list[str | None] | None, count: int) -> list[str | None]:
    """The labels, None where they are not known: no array of them, or -1."""
    return [None if text == "-1" else text for text in texts] if texts else [None] * count


def rows_of(
    found: Contents,
    part: Part,
    shape: tuple[int, ...],
    labels: list[str | None],
    further: dict[str, list[str | None]],
) -> list[dict[str, str | None]]:
    """Name the images of an array in ``found``; their rows in its table."""
    rows: list[dict[str, str | None]] = []
    for number, label in enumerate(labels):
        name = f"{part.split}/{number:06d}.png" if part.split else f"{number:06d}.png"
        found.images[name] = Member((part.images, number), int(np.prod(shape[1:])))
        split = {"split": part.split} if part.split else {}
        rows.append({"image": name, "label": label, **split, **{c: texts[number] for c, texts in further.items()}})
    return rows


def check_images(path: Path, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    if dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))):
        raise DermsslError(f"{path}: {name} is {dtype} {shape}, where uint8 (images, height, width, 3) is expected")


def texts_of(path: Path, name: str, values: np.ndarray, count: int) -> list[str | None]:
    """A text for each image; several columns are one-hot, or several labels at once, which are unknown."""
    if values.shape[:1] != (count,):
        raise DermsslError(f"{path}: {name} has {len(values) if values.shape else 'no'} rows for {count} images")
    values = values.reshape(count, -1)
    if values.shape[1] == 1:
        return [_text(value) for value in values[:, 0].tolist()]
    return [str(int(np.argmax(row))) if (row > 0).sum() == 1 else None for row in values]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # 1.0 is the class 1 of another part
        value = int(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
