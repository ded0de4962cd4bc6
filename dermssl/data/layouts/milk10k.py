"""MILK10k (ISIC 2025): labels by lesion in one table, the images of a lesion in another; dermoscopic ones are read."""

from pathlib import Path

from dermssl.data.layouts.beside import find_beside
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, Line, match, number, unclear
from dermssl.data.layouts.table import Table, known, read_table
from dermssl.data.records import Kind, Problem
from dermssl.errors import DermsslError

SOURCE = (
    "MILK study team. MILK10k. ISIC Archive (2025), doi:10.34970/648456; Tschandl P. et al. MILK10k: a hierarchical "
    "multimodal imaging-learning toolkit. Journal of Investigative Dermatology (2026), doi:10.1016/j.jid.2025.06.1594"
)
_CLASSES = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")


def _fits(path: Path, have: frozenset[str]) -> bool:
    return "lesion_id" in have and "isic_id" not in have and have >= {name.lower() for name in _CLASSES}


def read(table: Table, files: Files) -> Found:
    table.need("lesion_id", *_CLASSES)
    path = find_beside(table.path, files.folder, {"lesion_id", "isic_id", "image_type"})
    if path is None:
        raise DermsslError(
            f"{table.path}: no table with lesion_id, isic_id and image_type beside it (MILK10k_Training_Metadata.csv), "
            "so its lesions have no images"
        )
    labels: dict[str, str | None] = {}
    for row in table.rows:
        marked = [name.lower() for name in _CLASSES if number(row[name], table, name) > 0.5]
        labels[row["lesion_id"].strip()] = marked[0] if len(marked) == 1 else None
    images = read_table(path)
    other = [row["isic_id"] for row in images.rows if known(row["image_type"]) not in (None, "dermoscopic")]
    lines = [
        Line(row["isic_id"], labels.get(row["lesion_id"].strip()), row["lesion_id"], None, further)
        for row in images.rows
        if known(row["image_type"]) in (None, "dermoscopic")
        for further in (images.further(row, "isic_id", "lesion_id"),)
    ]
    found = match(LAYOUT.name, images, files, lines, left_out=other)
    if other:
        reason = f"{len(other):,} images are not dermoscopic by their image_type: left out"
        found.problems.append(Problem(path.name, reason, Kind.NO_ROW))
    found.problems += unclear(table, sum(label is None for label in labels.values()), "mark no or several classes")
    return found


LAYOUT = Layout(
    "milk10k",
    _fits,
    read,
    DataSet("MILK10k", "milk10k", "cc-by-nc-4.0", (SOURCE,)),
    table="MILK10k_Training_GroundTruth.csv",
)
