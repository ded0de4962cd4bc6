"""What is known of the public dermoscopy sets: licence and attribution, by the layout they were recognised by."""

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DataSet:
    """A published set of images.

    Attributes:
        name: as its authors write it.
        tag: short, for front matter and the name of a set of weights.
        license: the Hub's name of its licence.
        attribution: what its licence asks to be said, one entry a source.
    """

    name: str
    tag: str
    license: str
    attribution: tuple[str, ...]


_HAM10000 = (
    "Tschandl P., Rosendahl C., Kittler H. The HAM10000 dataset, a large collection of multi-source dermatoscopic "
    "images of common pigmented skin lesions. Scientific Data 5, 180161 (2018), doi:10.1038/sdata.2018.161"
)
_ISIC_2017 = (
    "International Skin Imaging Collaboration, ISIC Archive; Codella N. et al. Skin lesion analysis toward melanoma "
    "detection: a challenge at the 2017 International Symposium on Biomedical Imaging. ISBI 2018, "
    "doi:10.1109/ISBI.2018.8363547"
)
_BCN20000 = "Combalia M. et al. BCN20000: dermoscopic lesions in the wild. arXiv:1908.02288 (2019)"
_ISIC_2020 = (
    "Rotemberg V. et al. A patient-centric dataset of images and metadata for identifying melanomas using clinical "
    "context. Scientific Data 8, 34 (2021), doi:10.1038/s41597-021-00815-z"
)

# layout of the records -> the set; the 2018 challenge's task 3 is HAM10000
KNOWN = {
    "ham10000": DataSet("HAM10000", "ham10000", "cc-by-nc-4.0", (_HAM10000,)),
    "isic 2018": DataSet("ISIC 2018 task 3 (HAM10000)", "isic2018", "cc-by-nc-4.0", (_HAM10000, _ISIC_2017)),
    "isic 2019": DataSet("ISIC 2019", "isic2019", "cc-by-nc-4.0", (_HAM10000, _ISIC_2017, _BCN20000)),
    "isic 2020": DataSet("ISIC 2020", "isic2020", "cc-by-nc-4.0", (_ISIC_2020,)),
    "synthetic": DataSet("synthetic images drawn by dermssl, no photographs", "synthetic", "apache-2.0", ()),
}


def name_of(layout: str | None, source: str | None) -> str:
    """How a card calls a set: its published name, else the name of its folder, never a path on somebody's disk."""
    if layout in KNOWN:
        return KNOWN[layout].name
    return last_part(source) or "unnamed images"


def id_of(layout: str | None, name: str) -> str:
    """How the front matter of a card calls a set: in letters that the Hub takes for an identifier."""
    if layout in KNOWN:
        return KNOWN[layout].tag
    # as validate_repo_id has it: ASCII, no "--" or "..", at most 96, no ".git" at the end
    plain = re.sub(r"[^A-Za-z0-9]*(?:[^A-Za-z0-9_.-]|[-.]{2,})[^A-Za-z0-9]*", "-", name)[:96].strip("-._")
    return plain.removesuffix(".git").strip("-._") or "unnamed"


def last_part(path: str | None) -> str:
    """The last part of a path, whatever system wrote it."""
    return (path or "").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """The values, each path cut to its last part: where somebody keeps his images is nobody's business."""
    return {key: last_part(v) if isinstance(v, str) and ("/" in v or "\\" in v) else v for key, v in values.items()}
