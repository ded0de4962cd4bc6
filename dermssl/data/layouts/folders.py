"""Folders without a table: a folder per class, or any nesting of images without labels."""

import re
from pathlib import Path

from dermssl.data.layouts.found import Found, Row, is_mask, list_images
from dermssl.data.records import Problem

# Folders that hold a part of a set, not a class: HAM10000_images_part_1, train, images, 0001 ...
_NOT_A_CLASS = re.compile(
    r"(.*[_ -]part[_ -]?\d+|.*_images?|images?|imgs?|jpe?g|png|train(ing)?|val(id(ation)?)?|test(ing)?|"
    r"(part|shard)[_ -]?\d+|\d{3,})"
    r"([_ -]?(set|input|images?|data))?",
    re.IGNORECASE,
)


def read_folder(folder: Path) -> Found:
    """Read a folder of images: labelled if it is a folder per class, else unlabelled and nested at will.

    A folder per class means: no image beside the folders, two or more folders with images, no image deeper
    than one level, and no folder named like a part of a set (train, images, part_1).
    """
    images, problems = list_images(folder)
    problems += [Problem(_relative(path, folder), "a mask, not a photograph") for path in images if is_mask(path)]
    images = [path for path in images if not is_mask(path)]
    parents = {path.relative_to(folder).parts[0] for path in images}
    per_class = (
        len(parents) > 1
        and all(len(path.relative_to(folder).parts) == 2 for path in images)
        and not any(_NOT_A_CLASS.fullmatch(name) for name in parents)
    )
    rows = [Row(_relative(path, folder), path, label=path.parent.name if per_class else None) for path in images]
    return Found("class folders" if per_class else "image folder", folder, rows, problems)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
