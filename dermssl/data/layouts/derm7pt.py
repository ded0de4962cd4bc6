"""Derm7pt (release_v0): ``meta/meta.csv`` with a clinical and a dermoscopic picture per case; the latter are read."""

from pathlib import Path

from dermssl.data.layouts.beside import places
from dermssl.data.layouts.classes import class_of_diagnosis
from dermssl.data.layouts.found import Files, Found, Row
from dermssl.data.layouts.layout import DataSet, Layout, unclear
from dermssl.data.layouts.names import is_utf8
from dermssl.data.layouts.table import Table, known, read_table
from dermssl.data.records import Kind, Problem
from dermssl.errors import DermsslError

SOURCE = (
    "Kawahara J., Daneshvar S., Argenziano G., Hamarneh G. Seven-point checklist and skin lesion classification using "
    "multitask multimodal neural nets. IEEE Journal of Biomedical and Health Informatics 23, 538 (2019), "
    "doi:10.1109/JBHI.2018.2824327"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return {"diagnosis", "clinic", "derm"} <= have


def read(table: Table, files: Files) -> Found:
    split, problems = _split(table, files.folder)
    found = Found(LAYOUT.name, files.folder, [], [*table.problems, *files.problems, *problems])
    by_end = {"/".join(path.parts[-2:]).lower(): path for path in files.images}
    taken, outside = set(), 0
    for index, row in enumerate(table.rows):
        image = row["derm"].strip().replace("\\", "/")
        path = by_end.get("/".join(image.split("/")[-2:]).lower())
        text = known(row["diagnosis"])
        label = class_of_diagnosis(text)
        outside += text is not None and label is None
        if path is None:
            reason = f"named in {table.path.name}, but there is no such file"
            found.problems.append(Problem(image, reason, Kind.MISSING_FILE))
            continue
        taken.add(path)
        further = table.further(row, "derm") | ({"split": split[index]} if index in split else {})
        found.rows.append(Row(image, path, label, None, None, further))
    found.problems += unclear(table, outside, "have a diagnosis outside the known classes")
    left = len(set(files.images) - taken)
    if left:
        reason = f"{left:,} pictures that are not in its column derm (clinical ones): left out"
        found.problems.append(Problem(table.path.name, reason, Kind.NO_ROW))
    return found


def _split(table: Table, folder: Path) -> tuple[dict[int, str], list[Problem]]:
    """Row of the table, counted from 0 -> its part, by the three tables beside it."""
    split: dict[int, str] = {}
    for part, name in (("train", "train_indexes.csv"), ("val", "valid_indexes.csv"), ("test", "test_indexes.csv")):
        there = [where / name for where in (table.path.parent, *places(folder)) if (where / name).is_file()]
        if not there or not is_utf8(there[0]):
            return {}, [Problem(name, "not beside meta.csv: the images have no split", Kind.NOT_READ)]
        indexes = read_table(there[0])
        indexes.need("indexes")
        try:
            split |= {int(float(row["indexes"])): part for row in indexes.rows}
        except ValueError as error:
            raise DermsslError(f"{there[0]}: a row number is expected ({error})") from error
    return split, []


LAYOUT = Layout("derm7pt", _fits, read, DataSet("Derm7pt", "derm7pt", "other", (SOURCE,)), table="meta.csv")
