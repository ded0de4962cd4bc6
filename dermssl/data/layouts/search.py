"""Which tables a folder holds, and what each of them is by its column names."""

from pathlib import Path

from dermssl.data.layouts.found import is_utf8, read_columns

ONE_HOT = {"mel", "nv", "bcc", "bkl", "df", "vasc"}  # columns both ISIC 2018 task 3 and ISIC 2019 have

# Kinds of table beside the layouts: what goes with a ground truth, and what is seen only to be named.
METADATA, CSV_BELOW, MISNAMED = "metadata", "csv below", "misnamed"


def layout_of(columns: tuple[str, ...]) -> str | None:
    """The name of the layout a table belongs to, by its columns; None if they fit none."""
    have = {column.lower() for column in columns}
    if {"image_id", "dx"} <= have or {"lesion_id", "image_id"} <= have:
        return "ham10000"
    if "image" in have and have >= ONE_HOT:
        return "isic 2019" if {"ak", "scc"} & have else "isic 2018"
    if "image_name" in have:
        return "isic 2020"
    if "isic_id" in have:
        return "isic-cli"
    if "image" in have:
        # Without labels, these columns are those of the tables that go with the truth of ISIC 2018 and 2019.
        return "csv" if "label" in columns or not have & {"lesion_id", "age_approx"} else METADATA
    return None


def names_lesions(path: Path) -> bool:
    """Whether a table says which lesion an image shows, as those do that go with the truth of ISIC 2018 and 2019."""
    return {"image", "lesion_id"} <= set(read_columns(path))


def find_tables(folder: Path) -> dict[str, list[Path]]:
    """Layout, or another kind of table, -> its tables in ``folder`` and one level below."""
    found: dict[str, list[Path]] = {}
    for where in places(folder):
        for path in tables_in(where):
            kind = layout_of(read_columns(path)) if is_utf8(path.name) else MISNAMED
            if kind == "csv" and where != folder:
                kind = CSV_BELOW  # its paths are relative to where it lies, so it cannot speak for the whole folder
            if kind:
                found.setdefault(kind, []).append(path)
    return found


def places(folder: Path) -> list[Path]:
    """``folder`` and the folders in it that may hold tables: the challenges' archives unpack into one each."""
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [folder, *(path for path in below if is_utf8(path.name) and not (path / "manifest.json").exists())]


def tables_in(folder: Path) -> list[Path]:
    """The files in ``folder`` itself that are tables by their names, sorted."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in {".csv", ".tsv", ".tab"} or path.name == "HAM10000_metadata"
        if path.is_file()
    ]
