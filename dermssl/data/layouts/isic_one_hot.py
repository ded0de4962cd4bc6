"""ISIC 2018 task 3 and ISIC 2019: a column per class, 1 where the image is of it; lesions in tables of their own."""

from functools import partial
from pathlib import Path

from dermssl.data.layouts import ham10000
from dermssl.data.layouts.beside import lesions_beside
from dermssl.data.layouts.classes import class_of_code
from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.isic2017 import SOURCE as ISIC_2017
from dermssl.data.layouts.layout import DataSet, Layout, Line, match, number, unclear
from dermssl.data.layouts.names import stem_of
from dermssl.data.layouts.table import Table
from dermssl.data.records import Kind, Problem

BCN20000 = "Combalia M. et al. BCN20000: dermoscopic lesions in the wild. arXiv:1908.02288 (2019)"
_BOTH = {"image", "mel", "nv", "bcc", "bkl", "df", "vasc"}


def _fits(later: bool, path: Path, have: frozenset[str]) -> bool:
    return have >= _BOTH and bool({"ak", "scc"} & have) == later


def read(name: str, table: Table, files: Files) -> Found:
    table.need("image")
    codes = {column: class_of_code(column) for column in table.columns}
    lesions, sources = lesions_beside(files.folder, table)
    lines, several, none = [], 0, 0
    for row in table.rows:
        image = row["image"].strip()
        marked = [code for column, code in codes.items() if code and number(row[column], table, column) > 0.5]
        several += len(marked) > 1
        none += not marked
        lesion, further = lesions.get(stem_of(image), (None, {}))
        lines.append(Line(image, marked[0] if len(marked) == 1 else None, lesion, None, further))
    found = match(name, table, files, lines)
    unnamed = sum(stem_of(row.id) not in lesions for row in found.rows)
    if unnamed:
        reason = _without_lesion(unnamed, len(found.rows), sources)
        found.problems.append(Problem(table.path.name, reason, Kind.GROUP))
    found.problems += unclear(table, several, "mark several classes") + unclear(table, none, "mark no class")
    return found


def _without_lesion(unnamed: int, images: int, sources: list[str]) -> str:
    if not sources:
        wanted = "ISIC2018_Task3_Training_LesionGroupings.csv or ISIC_2019_Training_Metadata.csv"
        return f"no table of lesions beside it ({wanted}): every image is its own group"
    names = ", ".join(sources)
    return f"{unnamed:,} of {images:,} images are in no table of lesions ({names}): each of them is its own group"


ISIC_2018 = Layout(
    "isic 2018",
    partial(_fits, False),
    partial(read, "isic 2018"),
    DataSet("ISIC 2018 task 3 (HAM10000)", "isic2018", "cc-by-nc-4.0", (ham10000.SOURCE, ISIC_2017)),
    table="ISIC2018_Task3_Training_GroundTruth.csv",
)
ISIC_2019 = Layout(
    "isic 2019",
    partial(_fits, True),
    partial(read, "isic 2019"),
    DataSet("ISIC 2019", "isic2019", "cc-by-nc-4.0", (ham10000.SOURCE, ISIC_2017, BCN20000)),
    table="ISIC_2019_Training_GroundTruth.csv",
)
