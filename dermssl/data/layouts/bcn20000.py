"""BCN20000 as on figshare: ``bcn_20k_train.csv`` with ``bcn_filename``, ``diagnosis``, ``lesion_id`` and ``split``."""

from pathlib import Path

from dermssl.data.layouts.classes import class_of_code, class_of_diagnosis
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, Line, match, unclear
from dermssl.data.layouts.table import Table, known

SOURCE = (
    "Hernandez-Perez C. et al. BCN20000: dermoscopic lesions in the wild. Scientific Data 11, 641 (2024), "
    "doi:10.1038/s41597-024-03387-w"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return "bcn_filename" in have


def read(table: Table, files: Files) -> Found:
    lines, outside = [], 0
    for row in table.rows:
        text = known(row.get("diagnosis")) or known(row.get("diagnosis_3"))
        label = (class_of_code(text) or class_of_diagnosis(text)) if text else None
        outside += text is not None and label is None
        further = table.further(row, "bcn_filename", "lesion_id")
        lines.append(Line(row["bcn_filename"], label, row.get("lesion_id"), None, further))
    found = match(LAYOUT.name, table, files, lines)
    found.problems += unclear(table, outside, "have a diagnosis outside the known classes")
    return found


LAYOUT = Layout(
    "bcn20000", _fits, read, DataSet("BCN20000", "bcn20000", "cc-by-nc-4.0", (SOURCE,)), table="bcn_20k_train.csv"
)
