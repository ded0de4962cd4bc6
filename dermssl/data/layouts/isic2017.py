"""ISIC 2017 part 3: ``image_id,melanoma,seborrheic_keratosis``; an image of neither is a naevus."""

from pathlib import Path

from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, number, read_rows
from dermssl.data.layouts.table import Table

SOURCE = (
    "International Skin Imaging Collaboration, ISIC Archive; Codella N. et al. Skin lesion analysis toward melanoma "
    "detection: a challenge at the 2017 International Symposium on Biomedical Imaging. ISBI 2018, "
    "doi:10.1109/ISBI.2018.8363547, arXiv:1710.05006"
)
_MARKS = ("melanoma", "seborrheic_keratosis")


def _fits(path: Path, have: frozenset[str]) -> bool:
    return {"image_id", "melanoma", "seborrheic_keratosis"} <= have


def read(table: Table, files: Files) -> Found:
    table.need("image_id", "melanoma", "seborrheic_keratosis")

    def decide(row: dict[str, str]) -> tuple[str | None, bool]:
        melanoma, keratosis = (number(row[name], table, name) > 0.5 for name in _MARKS)
        label = "mel" if melanoma else "bkl" if keratosis else "nv"
        return (None, True) if melanoma and keratosis else (label, False)

    odd = "mark both classes"
    return read_rows(LAYOUT.name, table, files, image="image_id", decide=decide, odd=odd, used=_MARKS)


LAYOUT = Layout(
    "isic 2017",
    _fits,
    read,
    DataSet("ISIC 2017 part 3", "isic2017", "cc0-1.0", (SOURCE,)),
    table="ISIC-2017_Training_Part3_GroundTruth.csv",
)
