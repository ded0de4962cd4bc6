"""DDI (Diverse Dermatology Images): ``ddi_metadata.csv``; benign or malignant, with the skin tone of each."""

from pathlib import Path

from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, read_rows
from dermssl.data.layouts.table import Table
from dermssl.data.records import Problem

SOURCE = (
    "Daneshjou R. et al. Disparities in dermatology AI performance on a diverse, curated clinical image set. "
    "Science Advances 8(31), eabq6147 (2022), doi:10.1126/sciadv.abq6147"
)
_CLASSES = dict.fromkeys(("true", "1", "1.0"), "malignant") | dict.fromkeys(("false", "0", "0.0"), "benign")


def _fits(path: Path, have: frozenset[str]) -> bool:
    return {"ddi_file", "malignant"} <= have


def read(table: Table, files: Files) -> Found:
    table.need("DDI_file", "malignant")
    odd = "say neither True nor False as malignant"
    found = read_rows(LAYOUT.name, table, files, image="DDI_file", decide=_class, odd=odd)
    found.problems.append(Problem(table.path.name, "these are clinical photographs, not dermoscopic ones"))
    return found


def _class(row: dict[str, str]) -> tuple[str | None, bool]:
    label = _CLASSES.get(row["malignant"].strip().lower())
    return label, label is None


LAYOUT = Layout("ddi", _fits, read, DataSet("DDI", "ddi", "other", (SOURCE,)), table="ddi_metadata.csv")
