"""One spelling for the diagnoses: the seven of HAM10000, and what ISIC 2019 adds."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from dermssl.data.layouts.diagnoses import class_of_name, is_named
from dermssl.data.layouts.table import known

# HAM10000's own codes (Tschandl et al. 2018, doi:10.1038/sdata.2018.161), then ISIC 2019's further two.
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
FURTHER_CLASSES = ("scc", "unk")

# What the ISIC challenges say where they ask only this, by the cell of the column, in lower case.
MALIGNANT = {"0": "benign", "0.0": "benign", "1": "malignant", "1.0": "malignant"}
MALIGNANT |= {"benign": "benign", "malignant": "malignant"}

_CODES = {name: name for name in (*CLASSES, *FURTHER_CLASSES)} | {"ak": "akiec"}

# Diagnoses in words that the ISIC Archive's table does not name, first match wins. HAM10000 counts Bowen's disease to
# akiec, solar lentigo and lichenoid keratosis to bkl, pyogenic granuloma and haemorrhage to vasc; the order keeps
# lentigo maligna a melanoma, and "" keeps what only sounds like a class out of it.
_WORDS = [
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"\b(not?|non|without)[ -]?(an? )?(melanocytic )?(na?evus|na?evi|melanoma|bcc)\b|\bnonmelanoma", ""),
        (r"melanoma|lentigo maligna", "mel"),
        (r"basal cell carcinoma", "bcc"),
        (r"squamous cell carcinoma in situ|bowen('?s)?\b|intraepithelial carcinoma|actinic keratos", "akiec"),
        (r"squamous cell carcinoma", "scc"),
        (r"seborr?h?o?eic keratos|lichen(oid| planus)[ -]?(like )?keratos|benign keratos", "bkl"),
        (r"solar lentigo|ink-?spot lentigo|lentigo nos", "bkl"),
        (r"dermatofibroma\b", "df"),
        (r"n(a)?evus (sebac|comedon|lipomat|flammeus|an(a)?emicus|depigment|of (ota|ito))|in congenital", ""),
        (r"(sebaceous|epidermal|comedo\w*|lipomatous|verrucous|organoid|connective tissue) n(a)?ev", ""),
        (r"\bna?ev(us|i)\b", "nv"),
        (r"h(a)?emangioma|angiokeratoma|lymphangioma|\bangioma|pyogenic granuloma|h(a)?emorrhag", "vasc"),
        (r"benign soft tissue proliferations - vascular|vascular lesion", "vasc"),
    )
]


def benign_or_malignant(row: dict[str, str]) -> tuple[str | None, bool]:
    """The class in tables of the ISIC Archive without a diagnosis, and whether they say something else than these."""
    text = known(row.get("benign_malignant")) or known(row.get("target"))
    label = MALIGNANT.get(text.lower()) if text else None
    return label, text is not None and label is None


def class_of_code(code: str) -> str | None:
    """The class of a short code such as ``MEL`` or ``AK``; None if it is none of the known ones."""
    return _CODES.get(code.strip().lower())


def class_of_diagnosis(*texts: str | None) -> str | None:
    """The class of a diagnosis in words, the most specific text given first; None where none of them fits."""
    for text in texts:
        if not text:
            continue
        code = class_of_code(text)
        if code:
            return code
        if is_named(text) and text.strip().lower() not in _LOOSE:
            return class_of_name(text)
        for pattern, name in _WORDS:
            if pattern.search(text):
                return name or None
    return None


# Words that sets without the hierarchy write for what HAM10000 counts to bkl.
_LOOSE = {"lentigo nos", "ink-spot lentigo"}


def normalised(labels: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Label -> class name, and what is to be said about it.

    Known spellings become the codes if every label is one of them; else labels stay as they stand, those that differ
    in capitals only as the one that is most frequent. All or nothing, so that a set with classes of its own does not
    end up with half its names changed.

    Args:
        labels: of all images.
    """
    counts = Counter(labels)
    codes = {label: class_of_code(label) for label in counts}
    if all(codes.values()):
        names = {label: code for label, code in codes.items() if code}
    else:
        most: dict[str, str] = {}
        for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            most.setdefault(_plain(label), label)
        names = {label: most[_plain(label)] for label in counts}
    spellings: dict[str, list[str]] = {}
    for label in sorted(names):
        spellings.setdefault(names[label], []).append(label)
    return names, [f"{', '.join(same)} are one class: {name}" for name, same in spellings.items() if len(same) > 1]


def _plain(label: str) -> str:
    return " ".join(unicodedata.normalize("NFC", label).casefold().split())
