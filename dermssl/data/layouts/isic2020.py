"""ISIC 2020 (SIIM-ISIC on Kaggle): ``image_name,patient_id,...,diagnosis,benign_malignant,target``."""

from pathlib import Path

from dermssl.data.layouts.classes import benign_or_malignant, class_of_diagnosis
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import OUTSIDE, DataSet, Layout, read_rows
from dermssl.data.layouts.table import Table, known

SOURCE = (
    "International Skin Imaging Collaboration. SIIM-ISIC 2020 Challenge Dataset (2020), doi:10.34970/2020-ds01; "
    "Rotemberg V. et al. A patient-centric dataset of images and metadata for identifying melanomas using clinical "
    "context. Scientific Data 8, 34 (2021), doi:10.1038/s41597-021-00815-z"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return "image_name" in have and bool(have & {"patient_id", "benign_malignant", "target", "diagnosis"})


def read(table: Table, files: Files) -> Found:
    table.need("image_name")
    return read_rows(LAYOUT.name, table, files, image="image_name", decide=_class, odd=OUTSIDE)


def _class(row: dict[str, str]) -> tuple[str | None, bool]:
    if "diagnosis" not in row:  # left out by whoever shortened the table
        return benign_or_malignant(row)
    text = known(row["diagnosis"])
    label = class_of_diagnosis(text)
    return label, text is not None and label is None


LAYOUT = Layout(
    "isic 2020",
    _fits,
    read,
    DataSet("ISIC 2020", "isic2020", "cc-by-nc-4.0", (SOURCE,)),
    table="ISIC_2020_Training_GroundTruth_v2.csv",
    classes=frozenset({"diagnosis", "benign_malignant", "target"}),
)
