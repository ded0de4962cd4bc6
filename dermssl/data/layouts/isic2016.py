"""ISIC 2016 part 3 (ISBI 2016): a table without a header, ``ISIC_0000000,benign`` or ``ISIC_0000000,0.0``."""

from pathlib import Path

from dermssl.data.layouts.classes import MALIGNANT
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, read_rows
from dermssl.data.layouts.table import Table

SOURCE = (
    "Gutman D. et al. Skin lesion analysis toward melanoma detection: a challenge at the International Symposium on "
    "Biomedical Imaging (ISBI) 2016, hosted by the International Skin Imaging Collaboration. arXiv:1605.01397 (2016)"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return path.stem.lower().startswith("isbi2016_isic_part3") and {"image", "label"} <= have


def read(table: Table, files: Files) -> Found:
    odd = "say neither benign nor malignant"
    return read_rows(LAYOUT.name, table, files, image="image", decide=_class, odd=odd, used=("label",))


def _class(row: dict[str, str]) -> tuple[str | None, bool]:
    label = MALIGNANT.get(row["label"].strip().lower())
    return label, label is None


LAYOUT = Layout(
    "isic 2016",
    _fits,
    read,
    DataSet("ISIC 2016 part 3", "isic2016", "cc0-1.0", (SOURCE,)),
    table="ISBI2016_ISIC_Part3_Training_GroundTruth.csv",
)
