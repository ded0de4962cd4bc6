"""Folders without a table: a folder per class, also inside train, val and test, or any nesting without labels."""

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from statistics import median

from dermssl.data.layouts.classes import class_of_code, class_of_diagnosis
from dermssl.data.layouts.found import Found, Row, list_images, without_masks
from dermssl.data.parts import COLUMN, part_of
from dermssl.data.records import Kind, Problem

# Folders that hold a part of a set, not a class: HAM10000_images_part_1, train, images, 0001 ...
_PIECES = "part|shard|batch|fold"
_NOT_A_CLASS = re.compile(
    r"(.*[_ -]part[_ -]?\d+|images?(tr|ts)?|imgs?|jpe?g|png|train(ing)?|val(id(ation)?)?|test(ing)?|"
    rf"({_PIECES})[_ -]?\d+|\d{{3,}}|.*(ISIC|HAM|BCN|PH2|\d)\w*[_ -]images?)"
    r"([_ -]?(set|input|images?|data))?",
    re.IGNORECASE,
)
_PIECE = re.compile(rf"({_PIECES}|set)[_ -]?\d+", re.IGNORECASE)  # of a set, with all classes in each
_PERSON = r"patients?|pat|p|lesions?|les|scans?|cases?|subjects?|sub|s|id|im(a?g|d)|il|visit|exam|study|series|session"
_IDS = re.compile(
    rf"(({_PERSON})[_ -]?\d+\w*|\d{{4}}-\d\d(-\d\d)?|[0-9a-f]{{8}}(-?[0-9a-f]{{4}}){{3}}-?[0-9a-f]{{12}})",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?!class|grade|type|stage|cluster|label|category)[A-Za-z]*[_ -]?\d{2,}\w*", re.IGNORECASE)
STRAY = 0.1  # of the images may lie beside the class folders: a plot, a logo


def read_folder(folder: Path) -> Found:
    """Read a folder of images: labelled if it is a folder per class, else unlabelled and nested at will."""
    images, problems = list_images(folder)
    images, masks, left_out = without_masks(images, folder)
    problems += [Problem(_relative(path, folder), "a mask, not a photograph", Kind.MASK) for path in masks]
    problems += left_out
    inside = {path: path.relative_to(folder).parts for path in images}
    labels, groups, said = by_folders(images, folder)
    if not labels:
        rows = [Row(_relative(path, folder), path, attributes=split_of(parts)) for path, parts in inside.items()]
        return Found("image folder", folder, rows, [*problems, *said])
    problems += [
        Problem(_relative(path, folder), "beside the folders of the classes: left out", Kind.LABEL)
        for path in images
        if path not in labels
    ]
    rows = [
        Row(_relative(path, folder), path, labels[path], groups.get(path), attributes=split_of(inside[path]))
        for path in labels
    ]
    return Found("class folders", folder, rows, problems + said)


def by_folders(images: list[Path], folder: Path) -> tuple[dict[Path, str], dict[Path, str], list[Problem]]:
    """The classes and the groups of photographs by their folders, where these are such, and what is to be said."""
    inside = {path: path.relative_to(folder).parts for path in images}
    stray = [path for path, parts in inside.items() if len(parts) == 1]
    below = {path: parts for path, parts in inside.items() if len(parts) > 1}
    labels, warnings = _labels(below)
    if labels and len(stray) > STRAY * len(images):
        names = ", ".join(sorted(set(labels.values()))[:3])
        reason = f"{len(stray):,} images beside the folders {names} ...: read without labels; move them away for labels"
        labels, warnings = {}, [Problem(_relative(stray[0], folder), reason, Kind.LABEL)]
    if not labels:
        return {}, {}, warnings
    groups, said = _groups(below, folder)
    return labels, groups, warnings + said


def _groups(below: dict[Path, tuple[str, ...]], folder: Path) -> tuple[dict[Path, str], list[Problem]]:
    """The folder of a patient or lesion that an image lies in, inside the folder of its class."""
    inner = {path: [name for name in parts[1:-1] if _IDS.fullmatch(name)] for path, parts in below.items()}
    groups = {path: names[0] for path, names in inner.items() if names}
    if not groups:
        return {}, []
    names = sorted(set(groups.values()))
    reason = f"{len(names):,} folders inside those of the classes ({', '.join(names[:3])} ...) are taken as groups"
    if len(groups) < len(below):
        reason += f"; {len(below) - len(groups):,} images lie in none"
    return groups, [Problem(_relative(next(iter(groups)), folder), reason, Kind.GROUP)]


def split_of(parts: tuple[str, ...]) -> dict[str, str]:
    """The attribute that says in which part of a set an image is, by its path; {} where no folder says it."""
    part = next((name for name in map(part_of, parts[:-1]) if name), "")
    return {COLUMN: part} if part else {}


def _labels(inside: dict[Path, tuple[str, ...]]) -> tuple[dict[Path, str], list[Problem]]:
    """The class of each image by its folders; none of them, with the reason, where these are not classes."""
    below = dict(inside)
    while below:  # past a folder around all, and past train, val and test, or fold1, fold2
        tops = {parts[0] for parts in below.values()}
        deeper = all(len(parts) > 2 for parts in below.values())
        if not deeper or not (len(tops) == 1 or all(map(part_of, tops)) or _are_pieces(below.values())):
            break
        below = {path: parts[1:] for path, parts in below.items()}
    counts = Counter(parts[0] for parts in below.values())
    names = list(counts)
    if len(names) < 2 or any(len(parts) < 2 for parts in below.values()):
        return {}, []
    known = all(class_of_code(name) or class_of_diagnosis(name.replace("_", " ")) for name in names)
    labels = {path: parts[0] for path, parts in below.items()}
    if known:
        return labels, []
    parts_of_sets = {name for name in names if _NOT_A_CLASS.fullmatch(name)}
    inner = {parts[1] for parts in below.values() if len(parts) > 2}
    further = not all(_is_id(name) or _NOT_A_CLASS.fullmatch(name) for name in inner)
    others = set(names) - parts_of_sets
    if not others and not further:
        return {}, []
    reason = _no_classes(counts)
    if not reason and parts_of_sets and others:
        reason = f"are named partly like a part of a set ({min(parts_of_sets)}) and partly not ({min(others)})"
    elif not reason and further:
        reason = f"hold folders of their own ({', '.join(sorted(inner)[:3])} ...)"
    if not reason:
        return labels, []
    first = min(below.values())[0]
    advice = "read without labels; if they are classes, or for groups, write a CSV with image,label,group"
    return {}, [Problem(first, f"{len(names):,} folders {reason}: {advice}", Kind.LABEL)]


def _are_pieces(inside: Collection[tuple[str, ...]]) -> bool:
    """Whether the outer folders are pieces of one set, such as fold1 and fold2: each inner one is in several."""
    tops = {parts[0] for parts in inside}
    inner = Counter(name for _, name in {parts[:2] for parts in inside})
    return all(map(_PIECE.fullmatch, tops)) and min(inner.values()) > 1


def _is_id(name: str) -> bool:
    return bool(_IDS.fullmatch(name) or _NUMBERED.fullmatch(name))


def _no_classes(counts: Counter[str]) -> str | None:
    """Why folders are those of patients, lesions or scans rather than classes; None if they may be classes."""
    names = list(counts)
    middle = median(counts.values())
    if sum(bool(_IDS.fullmatch(name)) for name in names) >= 0.8 * len(names):
        return f"are named like patients, lesions or scans ({', '.join(sorted(names)[:3])} ...)"
    if middle < 20 and len(names) > 2 and sum(bool(_NUMBERED.fullmatch(name)) for name in names) >= 0.8 * len(names):
        return f"are named by numbers ({', '.join(sorted(names)[:3])} ...) and hold few images each"
    if len(names) >= 10 and middle <= 4:
        return "hold few images each"
    if len(names) > 200 and middle <= 10:
        return "are too many for classes"
    return None


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
