"""Names of files: which are images, which are masks, what an id is, and what can be written to a text file."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePath

from dermssl.data.formats import READABLE
from dermssl.errors import DermsslError

_SUFFIXES = "jpg jpeg jpe jfif png bmp dib tif tiff webp gif ppm pgm pbm pnm jp2 j2k jpx jpf mpo apng"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split()) | READABLE
SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)  # 1.23457E+11, as a spreadsheet writes 123456789012
NOT_UTF8 = "the name is not UTF-8; rename it"
# What is drawn from a photograph and lies beside it: the challenges' masks, PH2's, heat maps. Nobody wants to pretrain
# on them, and their names are those of the photographs.
_MASK = re.compile(r".*_(segmentation|superpixels|attribute_\w+|r\d+_label\d+)", re.IGNORECASE)
_DRAWN = (
    r"(?:seg(?:mented|mentations?|s)?|\d*_?masks?|msk|ground[ _-]?truth|gt|labels?|trimap|binary|contours?|overlay|"
    r"saliency|annot(?:ated|ations?)?|heat(?:[ _-]?map)?|superpixels?)"
)
# ... behind the name of the photograph (IMD003_lesion, 12_mask_1, A100mask) or before it (mask_12)
_MAP = re.compile(
    rf"(.*[^ ._-])(?:[ ._-](?:lesion|roi|{_DRAWN}|(?:grad_?|score_?|eigen_?)?cam(?:\+\+|pp)?|occlusion|"
    r"attentions?(?:_?map)?|attributions?|lime|shap|ig|bbox|(?:mask|seg)[ ._-]?\d+)|masks?)",
    re.IGNORECASE,
)
_MAP_OF = re.compile(rf"{_DRAWN}[ ._-](.+)", re.IGNORECASE)
# Photographs may have such a word, too: 12_orig.jpg beside 12_contour.png.
_WORD = r"(?:images?|img|photo|picture|orig(?:inal)?|rgb)"
_BEFORE, _BEHIND = (re.compile(pattern, re.IGNORECASE) for pattern in (rf"^{_WORD}[ ._-]", rf"[ ._-]{_WORD}$"))
_MASKS = re.compile(
    r"(.*[ _-])?(masks?|segmentation(s|class\w*|objects?|maps?)?|labels?(tr|ts)|"
    r"heat[ _-]?maps?|superpixels?|saliency([ _-]maps?)?|grad-?cams?|overlays?|"
    r"contours|cams?|occlusions?|attentions?([ _-]maps?)?|attributions?|explanations?|integrated[ _-]?gradients?|lime|"
    r"shap)([ _-].*)?",
    re.IGNORECASE,
)
# Folders that hold something made from the photographs only where the same names occur elsewhere, too.
_DERIVED = re.compile(
    r"(.*[ _-])?(gt|labels?|annot(ation)?s?|(ground[ _-]?)?truths?|seg(ment(ed|s)?|s)?|binary|msks?|"
    r"crops?|cropped|resized|thumb(nail)?s?|augmented|preprocessed|hair_?removed)([ _-].*)?",
    re.IGNORECASE,
)


def is_image_name(name: str) -> bool:
    start, _, suffix = name.rpartition(".")  # a Path takes five times as long, and tables have a million names
    return bool(start) and start[-1] != "/" and f".{suffix.lower()}" in IMAGE_SUFFIXES


def is_image(path: str | Path) -> bool:
    return Path(path).suffix.lower() in IMAGE_SUFFIXES and not Path(path).name.startswith(".")


def is_mask(path: str | PurePath) -> bool:
    """Whether the name of a file says that it is a mask or a map, not a photograph."""
    return bool(_MASK.fullmatch(PurePath(path).stem))


def photographs(stems: Iterable[str]) -> frozenset[str]:
    """The ids that a map may have been drawn from: those of files, with and without a word such as image or orig."""
    stems = frozenset(stems)
    stems |= {_BEHIND.sub("", stem) for stem in stems}
    return stems | {_BEFORE.sub("", stem) for stem in stems}


def is_drawn(stem: str, of: frozenset[str]) -> bool:
    """Whether an id is that of a map of one of these `photographs`: IMD003_lesion of IMD003."""
    before, behind = _MAP_OF.fullmatch(stem), _MAP.fullmatch(stem)
    if before and before[1] in of:
        return True
    while behind and behind[1] not in of:  # a_segmentation_mask may be of a
        behind = _MAP.fullmatch(behind[1])
    return behind is not None


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
    return name[: name.rindex(".")] if is_image_name(name) else name


def id_in_cell(text: str) -> str:
    """The id in the name that a cell of a table gives an image; spaces around it and Windows' slashes do not count."""
    return stem_of(text.strip().replace("\\", "/"))


def stem_of(image: str) -> str:
    """The id in an image's name: without its folders, and without the suffix if that is one of an image.

    Composed (NFC): a Mac's archive writes the letters of ``é`` apart.
    """
    name = unicodedata.normalize("NFC", image.rstrip("/").rpartition("/")[2])
    return name[: name.rindex(".")] if is_image_name(name) else name
