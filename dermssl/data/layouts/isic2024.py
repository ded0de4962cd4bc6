"""ISIC 2024 (SLICE-3D, on Kaggle): ``isic_id,target,patient_id,...``; the challenge's own table says ``malignant``."""

from pathlib import Path

from dermssl.data.layouts.classes import MALIGNANT
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, read_rows
from dermssl.data.layouts.table import Table

SOURCE = (
    "International Skin Imaging Collaboration. SLICE-3D 2024 Challenge Dataset, doi:10.34970/2024-slice-3d; "
    "Kurtansky N. et al. The SLICE-3D dataset: 400,000 skin lesion image crops extracted from 3D TBP for skin cancer "
    "detection. Scientific Data 11, 884 (2024), doi:10.1038/s41597-024-03743-w"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return "isic_id" in have and bool(have & {"target", "malignant"}) and "diagnosis_1" not in have


def read(table: Table, files: Files) -> Found:
    table.need("isic_id")
    column = "target" if "target" in table.columns else "malignant"

    def decide(row: dict[str, str]) -> tuple[str | None, bool]:
        label = MALIGNANT.get(row[column].strip().lower())
        return label, label is None

    return read_rows(LAYOUT.name, table, files, image="isic_id", decide=decide, odd=f"have neither 0 nor 1 as {column}")


LAYOUT = Layout(
    "isic 2024",
    _fits,
    read,
    DataSet("ISIC 2024 (SLICE-3D)", "isic2024", "cc-by-nc-4.0", (SOURCE,)),
    table="train-metadata.csv",
)
