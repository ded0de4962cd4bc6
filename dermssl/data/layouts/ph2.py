"""PH2: ``PH2_dataset.txt``, cells between ``||``; each picture in a folder of its own, with masks beside it."""

from pathlib import Path

from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, Line, match, unclear
from dermssl.data.layouts.table import Table, known

SOURCE = (
    "Mendonca T., Ferreira P., Marques J., Marcal A., Rozeira J. PH2 - a dermoscopic image database for research and "
    "benchmarking. EMBC 2013, doi:10.1109/EMBC.2013.6610779"
)
_NAMES = {"0": "common nevus", "1": "atypical nevus", "2": "melanoma"}
_CLASSES = {"0": "nv", "1": "nv", "2": "mel"}


def _fits(path: Path, have: frozenset[str]) -> bool:
    return {"name", "clinical diagnosis"} <= have


def read(table: Table, files: Files) -> Found:
    lines, outside = [], 0
    for row in table.rows:
        cells = {name.strip().lower(): cell.strip() for name, cell in row.items() if name.strip()}
        image, code = known(cells.get("name")), cells.get("clinical diagnosis", "")
        if not image or not image.upper().startswith("IMD"):  # the file ends with a legend
            continue
        outside += code not in _CLASSES
        further = {name: cell for name, cell in cells.items() if name not in ("name", "clinical diagnosis")}
        further["clinical diagnosis"] = _NAMES.get(code, code)
        lines.append(Line(image, _CLASSES.get(code), None, None, further))
    found = match(LAYOUT.name, table, files, lines)
    found.problems += unclear(table, outside, "have a clinical diagnosis other than 0, 1 and 2")
    return found


LAYOUT = Layout("ph2", _fits, read, DataSet("PH2", "ph2", "other", (SOURCE,)), table="PH2_dataset.txt")
