"""ISIC 2017 part 3: ``image_id,melanoma,seborrheic_keratosis``; an image of neither is a naevus."""

from pathlib import Path

from dermssl.data.layouts.found import Files, Found
from dermssl.data.layouts.layout import DataSet, Layout, Line, match, unclear
from dermssl.data.layouts.table import Table
from dermssl.errors import DermsslError

SOURCE = (
    "International Skin Imaging Collaboration, ISIC Archive; Codella N. et al. Skin lesion analysis toward melanoma "
    "detection: a challenge at the 2017 International Symposium on Biomedical Imaging. ISBI 2018, "
    "doi:10.1109/ISBI.2018.8363547"
)


def _fits(path: Path, have: frozenset[str]) -> bool:
    return {"image_id", "melanoma", "seborrheic_keratosis"} <= have


def read(table: Table, files: Files) -> Found:
    table.need("image_id", "melanoma", "seborrheic_keratosis")
    lines, several = [], 0
    for row in table.rows:
        try:
            melanoma, keratosis = (float(row[name] or 0) > 0.5 for name in ("melanoma", "seborrheic_keratosis"))
        except ValueError as error:
            raise DermsslError(f"{table.path}: {row['image_id']}: 0 or 1 is expected ({error})") from error
        several += melanoma and keratosis
        label = None if melanoma and keratosis else "mel" if melanoma else "bkl" if keratosis else "nv"
        further = table.further(row, "image_id", "melanoma", "seborrheic_keratosis")
        lines.append(Line(row["image_id"], label, None, None, further))
    found = match(LAYOUT.name, table, files, lines)
    found.problems += unclear(table, several, "mark both classes")
    return found


LAYOUT = Layout(
    "isic 2017",
    _fits,
    read,
    DataSet("ISIC 2017 part 3", "isic2017", "cc0-1.0", (SOURCE,)),
    table="ISIC-2017_Training_Part3_GroundTruth.csv",
)
