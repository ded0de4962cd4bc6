"""One spelling for the diagnoses: the seven of HAM10000, and what ISIC 2019 adds."""

import re

# HAM10000's own codes (Tschandl et al. 2018, doi:10.1038/sdata.2018.161), then ISIC 2019's further two.
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
FURTHER_CLASSES = ("scc", "unk")

_CODES = {name: name for name in (*CLASSES, *FURTHER_CLASSES)} | {"ak": "akiec"}

# Diagnoses in words, first match wins. HAM10000 counts Bowen's disease to akiec, solar lentigo and lichenoid
# keratosis to bkl, pyogenic granuloma and haemorrhage to vasc; the order keeps lentigo maligna a melanoma, and
# "" keeps what only sounds like a class out of it.
_WORDS = [
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"melanoma|lentigo maligna", "mel"),
        (r"basal cell carcinoma", "bcc"),
        (r"squamous cell carcinoma in situ|bowen|intraepithelial carcinoma|actinic keratos", "akiec"),
        (r"squamous cell carcinoma", "scc"),
        (r"seborr?h?o?eic keratos|lichen(oid| planus)[ -]?(like )?keratos|benign keratos", "bkl"),
        (r"solar lentigo|ink-?spot lentigo|lentigo nos", "bkl"),
        (r"dermatofibroma\b", "df"),
        (r"n(a)?evus sebaceous|sebaceous n(a)?evus|epidermal n(a)?evus|n(a)?evus (flammeus|an(a)?emicus)", ""),
        (r"\bna?ev(us|i)\b", "nv"),
        (r"h(a)?emangioma|angiokeratoma|lymphangioma|\bangioma|pyogenic granuloma|h(a)?emorrhag", "vasc"),
        (r"benign soft tissue proliferations - vascular|vascular lesion", "vasc"),
    )
]


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
        for pattern, name in _WORDS:
            if pattern.search(text):
                return name or None
    return None


def normalised(labels: set[str]) -> dict[str, str]:
    """Label -> class name: the known spellings if every label is one of them, else every label as it stands.

    All or nothing, so that a set with classes of its own does not end up with half its names changed.
    """
    codes = {label: class_of_code(label) for label in labels}
    if all(codes.values()) and len(set(codes.values())) == len(codes):
        return {label: code for label, code in codes.items() if code}
    return {label: label for label in labels}
