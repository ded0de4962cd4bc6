"""What ``isic image download`` writes: ``metadata.csv`` with ``isic_id`` and the Archive's diagnoses by level."""

from pathlib import Path

from dermssl.data.layouts.classes import benign_or_malignant, class_of_diagnosis
from dermssl.data.layouts.diagnoses import class_of_levels
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import OUTSIDE, Layout, read_rows
from dermssl.data.layouts.table import Table, known
from dermssl.data.records import Problem

LEVELS = tuple(f"diagnosis_{level}" for level in range(1, 6))
DIAGNOSES = frozenset({*LEVELS, "diagnosis"})


def _fits(path: Path, have: frozenset[str]) -> bool:
    return "isic_id" in have


def read(table: Table, files: Files) -> Found:
    table.need("isic_id")
    found = read_rows(LAYOUT.name, table, files, image="isic_id", decide=_class, odd=OUTSIDE)
    other = sum(known(row.get("image_type")) not in (None, "dermoscopic") for row in table.rows)
    if other:
        reason = f"{other} rows are not dermoscopic by their image_type: kept (isic image download --search "
        found.problems.append(Problem(table.path.name, reason + "'image_type:dermoscopic' leaves them out)"))
    return found


def _class(row: dict[str, str]) -> tuple[str | None, bool]:
    if not DIAGNOSES & row.keys():
        return benign_or_malignant(row)
    levels = [text for text in (known(row.get(name)) for name in LEVELS) if text]
    text = known(row.get("diagnosis"))
    label = class_of_levels(levels) if levels else class_of_diagnosis(text)
    return label, bool(levels or text) and label is None


LAYOUT = Layout("isic-cli", _fits, read, table="metadata.csv", classes=DIAGNOSES | {"benign_malignant"})
