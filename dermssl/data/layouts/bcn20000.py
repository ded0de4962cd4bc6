"""BCN20000 as on figshare: ``bcn_20k_train.csv`` with ``bcn_filename``, ``diagnosis``, ``lesion_id`` and ``split``."""

from pathlib import Path

from dermssl.data.layouts.classes import class_of_code, class_of_diagnosis
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import OUTSIDE, DataSet, Layout, read_rows
from dermssl.data.layouts.table import Table, known

SOURCE = (
    "Hernandez-Perez C. et al. BCN20000: dermoscopic lesions in the wild. Scientific Data 11, 641 (2024), "
    "doi:10.1038/s41597-024-03387-w"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return "bcn_filename" in have


def read(table: Table, files: Files) -> Found:
    return read_rows(LAYOUT.name, table, files, image="bcn_filename", decide=_class, odd=OUTSIDE)


def _class(row: dict[str, str]) -> tuple[str | None, bool]:
    text = known(row.get("diagnosis")) or known(row.get("diagnosis_3"))
    label = (class_of_code(text) or class_of_diagnosis(text)) if text else None
    return label, text is not None and label is None


LAYOUT = Layout(
    "bcn20000",
    _fits,
    read,
    DataSet("BCN20000", "bcn20000", "cc-by-nc-4.0", (SOURCE,)),
    table="bcn_20k_train.csv",
    classes=frozenset({"diagnosis", "diagnosis_3"}),
)
