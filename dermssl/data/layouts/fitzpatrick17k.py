"""Fitzpatrick17k: ``fitzpatrick17k.csv`` with ``md5hash``, ``label`` and the skin type; pictures named by hash."""

from pathlib import Path

from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, Line, match
from dermssl.data.layouts.table import Table, known
from dermssl.data.records import Problem

SOURCE = (
    "Groh M. et al. Evaluating deep neural networks trained on clinical images in dermatology with the Fitzpatrick 17k "
    "dataset. CVPR Workshops 2021, arXiv:2104.09957"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return {"md5hash", "label"} <= have


def read(table: Table, files: Files) -> Found:
    table.need("md5hash", "label")
    lines = [
        Line(row["md5hash"], known(row["label"]), None, None, table.further(row, "md5hash", "label"))
        for row in table.rows
    ]
    found = match(LAYOUT.name, table, files, lines)
    found.problems.append(Problem(table.path.name, "these are clinical photographs, not dermoscopic ones"))
    return found


LAYOUT = Layout(
    "fitzpatrick17k",
    _fits,
    read,
    DataSet("Fitzpatrick17k", "fitzpatrick17k", "cc-by-nc-sa-3.0", (SOURCE,)),
    table="fitzpatrick17k.csv",
)
