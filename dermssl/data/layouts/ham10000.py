"""HAM10000 (Tschandl et al. 2018): ``HAM10000_metadata.csv``, and drawings laid out like it."""

from pathlib import Path

from dermssl.data.layouts.classes import class_of_code, class_of_diagnosis
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, Line, match
from dermssl.data.layouts.table import Table, known

SYNTHETIC_STAMP = "synthetic.json"  # written by write_synthetic beside its table
SOURCE = (
    "Tschandl P., Rosendahl C., Kittler H. The HAM10000 dataset, a large collection of multi-source dermatoscopic "
    "images of common pigmented skin lesions. Scientific Data 5, 180161 (2018), doi:10.1038/sdata.2018.161"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return {"image_id", "dx"} <= have or (path.stem.lower() == "ham10000_metadata" and "image_id" in have)


def read(table: Table, files: Files) -> Found:
    table.need("image_id", "dx")
    lines = []
    for row in table.rows:
        label = known(row["dx"])
        if label:  # copies on the Hub write melanocytic_Nevi for nv
            label = class_of_code(label) or class_of_diagnosis(label.replace("_", " ")) or label
        further = table.further(row, "lesion_id", "image_id", "dx")
        lines.append(Line(row["image_id"], label, row.get("lesion_id"), row.get("patient_id"), further))
    # write_synthetic lays its drawings out as HAM10000; they must not be taken for it, nor carry its licence
    drawn = (table.path.parent / SYNTHETIC_STAMP).is_file()
    return match(SYNTHETIC.name if drawn else LAYOUT.name, table, files, lines)


LAYOUT = Layout(
    "ham10000", _fits, read, DataSet("HAM10000", "ham10000", "cc-by-nc-4.0", (SOURCE,)), table="HAM10000_metadata.csv"
)
SYNTHETIC = Layout(
    "synthetic",
    lambda path, have: False,  # recognised by its stamp, as HAM10000 otherwise
    read,
    DataSet("synthetic images drawn by dermssl, no photographs", "synthetic", "apache-2.0", ()),
)
