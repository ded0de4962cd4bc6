"""PAD-UFES-20: ``metadata.csv`` with ``img_id``, ``diagnostic``, ``patient_id``, ``lesion_id``; smartphone pictures."""

from pathlib import Path

from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, Line, match, unclear
from dermssl.data.layouts.table import Table, known
from dermssl.data.records import Problem

SOURCE = (
    "Pacheco A. et al. PAD-UFES-20: a skin lesion dataset composed of patient data and clinical images collected from "
    "smartphones. Data in Brief 32, 106221 (2020), doi:10.1016/j.dib.2020.106221"
)
_CLASSES = {"ack": "akiec", "bod": "akiec", "bcc": "bcc", "mel": "mel", "nev": "nv", "scc": "scc", "sek": "bkl"}


def _fits(path: Path, have: frozenset[str]) -> bool:
    return {"img_id", "diagnostic"} <= have


def read(table: Table, files: Files) -> Found:
    lines, outside = [], 0
    for row in table.rows:
        text = known(row["diagnostic"])
        label = _CLASSES.get(text.lower()) if text else None
        outside += text is not None and label is None
        further = table.further(row, "img_id", "diagnostic", "patient_id", "lesion_id")
        lines.append(Line(row["img_id"], label, row.get("lesion_id"), row.get("patient_id"), further))
    found = match(LAYOUT.name, table, files, lines)
    found.problems += unclear(table, outside, "have a diagnosis outside the known classes")
    found.problems.append(Problem(table.path.name, "these are photographs by smartphone, not by dermoscope"))
    return found


LAYOUT = Layout(
    "pad-ufes-20", _fits, read, DataSet("PAD-UFES-20", "pad-ufes-20", "cc-by-4.0", (SOURCE,)), table="metadata.csv"
)
