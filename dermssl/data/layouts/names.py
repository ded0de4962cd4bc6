"""Names of files: which are images, which are masks, what an id is, and what can be written to a text file."""

import os
import re
import unicodedata
from pathlib import Path, PurePosixPath

from dermssl.data.formats import READABLE
from dermssl.errors import DermsslError

_SUFFIXES = "jpg jpeg jpe jfif png bmp dib tif tiff webp gif ppm pgm pnm jp2 mpo"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split()) | READABLE
SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)  # 1.23457E+11, as a spreadsheet writes 123456789012
NOT_UTF8 = "the name is not UTF-8; rename it"
# What is drawn from a photograph and lies beside it: the challenges' masks, PH2's, heat maps. Nobody wants to pretrain
# on them, and their names are those of the photographs.
_MASK = re.compile(r".*_(segmentation|superpixels|attribute_\w+|r\d+_label\d+)", re.IGNORECASE)
_MAP = re.compile(
    r"(.+)[_-](lesion|roi|\d*_?mask|seg|segmented|segmentation|heat(_?map)?|saliency|(grad_?|score_?|eigen_?)?cam(\+\+|pp)?|"
    r"overlay|contours?|superpixels?|occlusion|attentions?(_?map)?|attributions?|lime|shap|ig|bbox|annotated|annotation|gt)",
    re.IGNORECASE,
)
_MASKS = re.compile(
    r"(.*[ _-])?(masks?|segmentations?|heat[ _-]?maps?|superpixels?|saliency([ _-]maps?)?|grad-?cams?|overlays?|"
    r"contours|cams?|occlusions?|attentions?([ _-]maps?)?|attributions?|explanations?|integrated[ _-]?gradients?|lime|"
    r"shap)([ _-].*)?",
    re.IGNORECASE,
)
# Folders that hold something made from the photographs only where the same names occur elsewhere, too.
_DERIVED = re.compile(
    r"(.*[ _-])?(gt|labels?|annotations?|ground_?truths?|crops?|cropped|resized|thumb(nail)?s?|augmented|preprocessed|"
    r"hair_?removed)([ _-].*)?",
    re.IGNORECASE,
)


def is_image_name(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def is_image(path: str | Path) -> bool:
    return Path(path).suffix.lower() in IMAGE_SUFFIXES and not Path(path).name.startswith(".")


def is_mask(path: Path) -> bool:
    """Whether the name of a file says that it is a mask or a map, not a photograph."""
    return bool(_MASK.fullmatch(path.stem))


def drawn_from(stem: str) -> str | None:
    """The id of the photograph that a map was drawn from, if its name is that of a map: IMD003 of IMD003_lesion."""
    match = _MAP.fullmatch(stem)
    return match[1] if match else None


def folder_of_masks(parts: tuple[str, ...]) -> str | None:
    """The first of these folders whose name says that it holds masks or maps."""
    return next((part for part in parts if _MASKS.fullmatch(part)), None)


def is_derived(parts: tuple[str, ...]) -> bool:
    """Whether a folder's name says that its pictures were made from those of another one."""
    return any(_DERIVED.fullmatch(part) for part in parts)


def is_utf8(name: str | Path) -> bool:
    """Whether a name can be written to a text file: one from a Latin-1 system's archive cannot, on Linux."""
    try:
        str(name).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str | Path) -> str:
    """``name`` for a log or a table, its bytes that are not UTF-8 written as ``\\xe9``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def need_utf8(path: Path) -> None:
    """Check the name of a folder or table that a user gave.

    Raises:
        DermsslError: it, or a folder that it is in, has a name that is not UTF-8.
    """
    for name in (str(path), os.path.realpath(path)):  # a link may hide the name, or be what has it
        if not is_utf8(name):
            raise DermsslError(f"{printable(name)}: {NOT_UTF8}")


def loose(image: str) -> str:
    """The id without what is lost and added on the way through spreadsheets and other systems.

    Capitals, further suffixes (``a.jpg.jpg``), doubled spaces, zeros in front of a number and ``.0`` behind it.
    """
    name = stem_of(image)
    while is_image_name(name):
        name = stem_of(name)
    name = " ".join(name.casefold().split())
    number = re.fullmatch(r"0*(\d+)(\.0+)?", name)
    return number[1] if number else name


def without_suffix(image: str) -> str:
    """A name with its folders, slashes and accents written one way (NFC), and without the suffix of an image."""
    name = unicodedata.normalize("NFC", image.strip().replace("\\", "/"))
    return name[: -len(PurePosixPath(name).suffix)] if is_image_name(name) else name


def stem_of(image: str) -> str:
    """The id in an image's name: without its folders, and without the suffix if that is one of an image.

    Composed (NFC): a Mac's archive writes the letters of ``é`` apart.
    """
    name = unicodedata.normalize("NFC", PurePosixPath(image).name)
    return name[: -len(PurePosixPath(name).suffix)] if is_image_name(name) else name
