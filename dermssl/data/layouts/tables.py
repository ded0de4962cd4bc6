"""Images named by a table: HAM10000, the ISIC challenges, isic-cli; and which table of a folder is read."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dermssl.data.layouts.classes import class_of_code, class_of_diagnosis
from dermssl.data.layouts.found import (
    NOT_UTF8,
    Found,
    Row,
    Table,
    is_mask,
    is_utf8,
    known,
    list_images,
    printable,
    read_table,
    stem_of,
)
from dermssl.data.layouts.plain import read_csv
from dermssl.data.layouts.search import CSV_BELOW, METADATA, MISNAMED, layout_of, names_lesions, places, tables_in
from dermssl.data.records import Problem
from dermssl.errors import DermsslError

SYNTHETIC_STAMP = "synthetic.json"  # written by write_synthetic beside its table


def read_folder_with_table(folder: Path, tables: dict[str, list[Path]]) -> Found | None:
    """Read ``folder`` by the table in it; None if ``tables`` (of `find_tables`) are of no known layout."""
    chosen = _chosen(tables)
    return READERS[chosen[0]](read_table(chosen[1]), folder) if chosen else None


def tables_not_read(tables: dict[str, list[Path]], found: Found) -> list[Problem]:
    """The tables that could have said more about the images of ``found``; those with nothing to say are not named."""
    chosen = _chosen(tables)
    problems = []
    for kind, paths in tables.items():
        for path in paths:
            reason = _why_not_read(kind, path, chosen[1] if chosen else None, found)
            if reason:
                name = printable(path.relative_to(found.source).as_posix())
                problems.append(Problem(name, f"not read: {reason}"))
    return problems


def _why_not_read(kind: str, path: Path, chosen: Path | None, found: Found) -> str | None:
    if kind == MISNAMED:
        return NOT_UTF8
    has_lesions = names_lesions(path)
    if path == chosen or (has_lesions and found.layout in ("isic 2018", "isic 2019")):  # read, with the truth
        return None
    if kind == METADATA:
        grouped = any(row.lesion or row.patient for row in found.rows)
        reason = "no column 'label', so its lesions are not used; add one, or name the file itself to do without labels"
        return reason if has_lesions and not grouped else None
    if kind == CSV_BELOW:
        where = "a CSV is looked for in the folder itself only; name the file itself to use it"
        return where if chosen is None else None
    return f"{chosen.name} was; name the file itself to use it" if chosen else None


def _chosen(tables: dict[str, list[Path]]) -> tuple[str, Path] | None:
    """The layout that wins and its table."""
    for layout in READERS:
        if layout in tables:
            # Training before test: a folder with the whole challenge must not mix its test set in unseen.
            return layout, min(tables[layout], key=lambda path: ("train" not in path.name.lower(), path.name))
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
    return READERS.get(layout, read_csv)(table, path.parent)  # metadata by itself is a CSV without labels


def read_ham10000(table: Table, folder: Path) -> Found:
    table.need("image_id", "dx")
    rows = []
    for row in table.rows:
        extra = {name: row[name].strip() for name in table.columns if name not in ("lesion_id", "image_id", "dx")}
        label = known(row["dx"])
        rows.append(
            (
                row["image_id"],
                # copies on the Hub write melanocytic_Nevi for nv
                (class_of_code(label) or class_of_diagnosis(label.replace("_", " ")) or label) if label else None,
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
    lesions, sources = _lesions(folder, table)
    rows, several = [], 0
    for row in table.rows:
        image = row["image"].strip()
        marked = [code for column, code in codes.items() if code and _number(row[column], table, column) > 0.5]
        several += len(marked) > 1
        lesion, extra = lesions.get(stem_of(image), (None, {}))
        rows.append((image, marked[0] if len(marked) == 1 else None, lesion, None, extra))
    layout = layout_of(table.columns) or "isic 2018"
    found = _match(layout, table, folder, rows)
    unnamed = sum(stem_of(row.id) not in lesions for row in found.rows)
    if unnamed:
        found.problems.append(Problem(table.path.name, _without_lesion(unnamed, len(found.rows), sources)))
    if several:
        found.problems.append(Problem(table.path.name, f"{several} rows mark several classes: label unknown"))
    return found


def read_isic2020(table: Table, folder: Path) -> Found:
    table.need("image_name")
    rows = []
    for row in table.rows:
        text = known(row.get("diagnosis"))
        label = class_of_diagnosis(text)
        extra = table.further(row, "image_name", "patient_id", "lesion_id")
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
        extra = table.further(row, "isic_id", "patient_id", "lesion_id")
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
    images, problems = list_images(folder)
    files = _by_stem([path for path in images if not is_mask(path)])
    found = Found(layout, folder, [], problems)
    named = set()
    for image, label, lesion, patient, extra in rows:
        image = image.strip()
        stem = stem_of(image)
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


def _lesions(folder: Path, truth: Table) -> tuple[dict[str, tuple[str | None, dict[str, str]]], list[str]]:
    """Image -> (lesion, further columns), and the names of the tables that say so.

    All tables of lesions near the truth are joined, since those of ISIC 2018 and 2019 may lie side by side; where
    two know the same image, the one counts that names more of the truth's images.
    """
    wanted = {stem_of(row["image"].strip()) for row in truth.rows}
    tables = []
    for path in _lesion_tables(folder, truth.path):
        table = read_table(path)
        rows = {
            stem_of(row["image"].strip()): (known(row["lesion_id"]), table.further(row, "image", "lesion_id"))
            for row in table.rows
        }
        tables.append((path.name, rows))
    tables.sort(key=lambda table: -len(wanted & table[1].keys()))
    joined: dict[str, tuple[str | None, dict[str, str]]] = {}
    for _, rows in tables:
        for image, (lesion, extra) in rows.items():
            first, columns = joined.get(image, (None, {}))
            joined[image] = first or lesion, {**columns, **extra, **columns}
    return joined, [name for name, _ in tables]


def _lesion_tables(folder: Path, truth: Path) -> list[Path]:
    paths = (path for where in dict.fromkeys((truth.parent, *places(folder))) for path in tables_in(where))
    return [path for path in paths if path != truth and is_utf8(path.name) and names_lesions(path)]


def _without_lesion(unnamed: int, images: int, sources: list[str]) -> str:
    if not sources:
        wanted = "ISIC2018_Task3_Training_LesionGroupings.csv or ISIC_2019_Training_Metadata.csv"
        return f"no table of lesions beside it ({wanted}): every image is its own group"
    names = ", ".join(sources)
    return f"{unnamed:,} of {images:,} images are in no table of lesions ({names}): each of them is its own group"


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
