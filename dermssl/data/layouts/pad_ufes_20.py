"""PAD-UFES-20: ``metadata.csv`` with ``img_id``, ``diagnostic``, ``patient_id``, ``lesion_id``; smartphone pictures."""

from pathlib import Path

from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import OUTSIDE, DataSet, Layout, read_rows
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
    found = read_rows(LAYOUT.name, table, files, image="img_id", decide=_class, odd=OUTSIDE, used=("diagnostic",))
    found.problems.append(Problem(table.path.name, "these are smartphone photographs, not dermoscopic ones"))
    return found


def _class(row: dict[str, str]) -> tuple[str | None, bool]:
    text = known(row["diagnostic"])
    label = _CLASSES.get(text.lower()) if text else None
    return label, text is not None and label is None


LAYOUT = Layout(
    "pad-ufes-20", _fits, read, DataSet("PAD-UFES-20", "pad-ufes-20", "cc-by-4.0", (SOURCE,)), table="metadata.csv"
)
