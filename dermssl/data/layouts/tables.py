"""Images named by a table: HAM10000, the ISIC challenges, isic-cli, and a plain CSV."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from dermssl.data.layouts.classes import class_of_code, class_of_diagnosis
from dermssl.data.layouts.found import (
    IMAGE_SUFFIXES,
    Found,
    Problem,
    Row,
    Table,
    is_mask,
    known,
    list_images,
    read_columns,
    read_table,
)
from dermssl.errors import DermsslError

SYNTHETIC_STAMP = "synthetic.json"  # written by write_synthetic beside its table
ONE_HOT = {"mel", "nv", "bcc", "bkl", "df", "vasc"}  # columns both ISIC 2018 task 3 and ISIC 2019 have


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
    if "image" in have and not have & {"lesion_id", "age_approx"}:  # those are metadata of ISIC 2018 and 2019
        return "csv"
    return None


def find_tables(folder: Path) -> dict[str, list[Path]]:
    """Layout -> its tables in ``folder`` and one level below (where the challenges' archives unpack)."""
    found: dict[str, list[Path]] = {}
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for where in (folder, *(path for path in below if not (path / "manifest.json").exists())):
        for path in sorted(where.iterdir()):
            table = path.suffix.lower() in {".csv", ".tsv", ".tab"} or path.name == "HAM10000_metadata"
            layout = layout_of(read_columns(path)) if table and path.is_file() else None
            if layout and (layout != "csv" or where == folder):
                found.setdefault(layout, []).append(path)
    return found


def read_folder_with_table(folder: Path) -> Found | None:
    """Read ``folder`` by the table in it; None if it holds no table of a known layout."""
    tables = find_tables(folder)
    for layout, read in READERS.items():
        if layout not in tables:
            continue
        # Training before test: a folder with the whole challenge must not mix its test set in unseen.
        first, *others = sorted(tables[layout], key=lambda path: ("train" not in path.name.lower(), path.name))
        found = read(read_table(first), folder)
        found.problems += [
            Problem(
                path.relative_to(folder).as_posix(),
                f"not read: {first.name} was; name the file itself to use it",
            )
            for path in others
        ]
        return found
    return None


def read_table_file(path: Path) -> Found:
    """Read the data set that one table describes, its images lying beside or below it."""
    table = read_table(path)
    layout = layout_of(table.columns)
    if layout is None:
        raise DermsslError(
            f"{path}: no column 'image' (a CSV needs image,label[,group]), nor the columns of HAM10000 or "
            f"ISIC tables; it has {', '.join(table.columns)}"
        )
    return READERS[layout](table, path.parent)


def read_ham10000(table: Table, folder: Path) -> Found:
    table.need("image_id", "dx")
    rows = []
    for row in table.rows:
        extra = {name: row[name].strip() for name in table.columns if name not in ("lesion_id", "image_id", "dx")}
        label = known(row["dx"])
        rows.append(
            (
                row["image_id"],
                (class_of_code(label) or label) if label else None,
                row.get("lesion_id"),
                None,
                extra,
            )
        )
    # write_synthetic lays its drawings out as HAM10000; they must not be taken for it, nor carry its licence
    drawn = (table.path.parent / SYNTHETIC_STAMP).is_file()
    return _match("synthetic" if drawn else "ham10000", table, folder, rows)


def read_one_hot(table: Table, folder: Path) -> Found:
    table.need("image")
    codes = {column: class_of_code(column) for column in table.columns}
    lesions, problems = _lesions(folder, table)
    rows, several = [], 0
    for row in table.rows:
        image = row["image"].strip()
        marked = [code for column, code in codes.items() if code and _number(row[column], table, column) > 0.5]
        several += len(marked) > 1
        lesion, extra = lesions.get(image, (None, {}))
        rows.append((image, marked[0] if len(marked) == 1 else None, lesion, None, extra))
    layout = layout_of(table.columns) or "isic 2018"
    found = _match(layout, table, folder, rows)
    found.problems += problems
    if several:
        found.problems.append(Problem(table.path.name, f"{several} rows mark several classes: label unknown"))
    return found


def read_isic2020(table: Table, folder: Path) -> Found:
    table.need("image_name")
    rows = []
    for row in table.rows:
        text = known(row.get("diagnosis"))
        label = class_of_diagnosis(text)
        extra = _extra(row, table, "image_name", "patient_id", "lesion_id")
        rows.append((row["image_name"], label, row.get("lesion_id"), row.get("patient_id"), extra))
    return _match("isic 2020", table, folder, rows)


def read_isic_cli(table: Table, folder: Path) -> Found:
    table.need("isic_id")
    levels = [name for name in (*(f"diagnosis_{n}" for n in (5, 4, 3, 2, 1)), "diagnosis") if name in table.columns]
    rows, outside = [], 0
    for row in table.rows:
        texts = [text for text in (known(row[name]) for name in levels) if text]
        label = class_of_diagnosis(*texts)
        outside += bool(texts) and label is None
        extra = _extra(row, table, "isic_id", "patient_id", "lesion_id")
        rows.append((row["isic_id"], label, row.get("lesion_id"), row.get("patient_id"), extra))
    found = _match("isic-cli", table, folder, rows)
    if outside:
        found.problems.append(
            Problem(table.path.name, f"{outside} rows have a diagnosis outside the known classes: label unknown")
        )
    other = sum(known(row.get("image_type")) not in (None, "dermoscopic") for row in table.rows)
    if other:
        reason = f"{other} rows are not dermoscopic by their image_type: kept (isic image download --search "
        found.problems.append(Problem(table.path.name, reason + "'image_type:dermoscopic' leaves them out)"))
    return found


def read_csv(table: Table, folder: Path) -> Found:
    """``image,label[,group]``: images as paths relative to the table, or as bare names anywhere below it."""
    table.need("image")
    group = next((name for name in ("group", "lesion_id", "lesion", "patient_id") if name in table.columns), None)
    by_stem: dict[str, Path] | None = None
    found = Found("csv", folder, [])
    for row in table.rows:
        image = row["image"].strip().replace("\\", "/")
        if image and Path(image).is_relative_to(folder.absolute()):
            image = Path(image).relative_to(folder.absolute()).as_posix()
        absolute = PurePosixPath(image).is_absolute() or PureWindowsPath(image).is_absolute()
        if absolute or ".." in image.split("/") or not image:
            reason = f"points outside {folder}: left out" if image else "a row without an image"
            found.problems.append(Problem(image or table.path.name, reason))
            continue
        image = PurePosixPath(image).as_posix()
        path = folder / image
        if not path.is_file():
            by_stem = _by_stem(list_images(folder)) if by_stem is None else by_stem
            path = by_stem.get(_stem(image), path)
        if not path.is_file():
            found.problems.append(Problem(image, f"named in {table.path.name}, but there is no such file"))
            continue
        extra = _extra(row, table, "image", "label", *([group] if group else []))
        found.rows.append(Row(image, path, known(row.get("label")), known(row[group]) if group else None, None, extra))
    return found


READERS: dict[str, Callable[[Table, Path], Found]] = {
    "ham10000": read_ham10000,
    "isic 2018": read_one_hot,
    "isic 2019": read_one_hot,
    "isic 2020": read_isic2020,
    "isic-cli": read_isic_cli,
    "csv": read_csv,
}


def _match(
    layout: str,
    table: Table,
    folder: Path,
    rows: Sequence[tuple[str, str | None, str | None, str | None, dict[str, str]]],
) -> Found:
    """Find the file of each id anywhere below ``folder``; report ids without files and files without ids."""
    images = [path for path in list_images(folder) if not is_mask(path)]
    files = _by_stem(images)
    found = Found(layout, folder, [])
    named = set()
    for image, label, lesion, patient, extra in rows:
        image = image.strip()
        stem = _stem(image)
        named.add(stem)
        if stem in files:
            found.rows.append(Row(image, files[stem], label, known(lesion), known(patient), extra))
        else:
            found.problems.append(Problem(image, f"named in {table.path.name}, but there is no such file"))
    for stem, path in files.items():
        if stem not in named:
            where = path.relative_to(folder).as_posix()
            found.problems.append(Problem(where, f"in no row of {table.path.name}: left out"))
    return found


def _lesions(folder: Path, truth: Table) -> tuple[dict[str, tuple[str | None, dict[str, str]]], list[Problem]]:
    """Image -> (lesion, further columns) from the table that goes with a one-hot ground truth, if any."""
    for where in dict.fromkeys((truth.path.parent, folder, *(p for p in sorted(folder.iterdir()) if p.is_dir()))):
        for path in sorted(where.glob("*.csv")):
            if path == truth.path or not {"image", "lesion_id"} <= set(read_columns(path)):
                continue
            table = read_table(path)
            rows = {row["image"].strip(): row for row in table.rows}
            return {
                image: (known(row["lesion_id"]), _extra(row, table, "image", "lesion_id"))
                for image, row in rows.items()
            }, []
    wanted = "ISIC2018_Task3_Training_LesionGroupings.csv or ISIC_2019_Training_Metadata.csv"
    return {}, [Problem(truth.path.name, f"no table of lesions beside it ({wanted}): every image is its own group")]


def _extra(row: dict[str, str], table: Table, *used: str) -> dict[str, str]:
    return {name: row[name].strip() for name in table.columns if name and name not in used}


def _number(text: str, table: Table, column: str) -> float:
    try:
        return float(text or 0)
    except ValueError as error:
        raise DermsslError(f"{table.path}: column {column!r} holds {text!r}, where 0 or 1 is expected") from error


def _by_stem(images: list[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in images:  # Kaggle's HAM10000 holds every image twice, in folders of two spellings: the first wins
        files.setdefault(path.stem, path)
    return files


def _stem(image: str) -> str:
    name = PurePosixPath(image).name
    return name[: -len(PurePosixPath(name).suffix)] if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES else name
