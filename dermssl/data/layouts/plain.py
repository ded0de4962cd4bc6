"""A plain CSV: ``image,label[,group]``."""

from pathlib import Path, PurePosixPath, PureWindowsPath

from dermssl.data.layouts.found import Found, Row, Table, known, list_images, stem_of
from dermssl.data.records import Problem

_LESION = ("group", "lesion_id", "lesion")  # the first of them that is there


def read_csv(table: Table, folder: Path) -> Found:
    """``image,label[,group][,patient_id]``: images as paths relative to the table, or as bare names below it."""
    table.need("image")
    lesion = next((name for name in _LESION if name in table.columns), None)
    images = [_inside(row["image"], folder) for row in table.rows]
    there = [bool(image) and (folder / str(image)).is_file() for image in images]
    lost = any(image and not found for image, found in zip(images, there, strict=True))
    listed, problems = list_images(folder) if lost else ([], [])
    by_stem: dict[str, list[Path]] = {}
    for path in listed:
        by_stem.setdefault(path.stem, []).append(path)
    found = Found("csv", folder, [], problems)
    for row, image, is_there in zip(table.rows, images, there, strict=True):
        if not image:
            named = row["image"].strip()
            reason = f"points outside {folder}: left out" if named else "a row without an image"
            found.problems.append(Problem(named or table.path.name, reason))
            continue
        files = [folder / image] if is_there else _meant(image, folder, by_stem)
        if len(files) != 1:
            found.problems.append(Problem(image, f"named in {table.path.name}, but {_why_not(files, folder)}"))
            continue
        label, patient = known(row.get("label")), known(row.get("patient_id"))
        extra = table.further(row, "image", "label", "patient_id", lesion or "")
        found.rows.append(Row(image, files[0], label, known(row[lesion]) if lesion else None, patient, extra))
    return found


def _inside(image: str, folder: Path) -> str | None:
    """``image`` relative to ``folder``; None if it is outside or blank."""
    image = image.strip().replace("\\", "/")
    if image and Path(image).is_relative_to(folder.absolute()):
        image = Path(image).relative_to(folder.absolute()).as_posix()
    absolute = PurePosixPath(image).is_absolute() or PureWindowsPath(image).is_absolute()
    if absolute or ".." in image.split("/") or not image:
        return None
    return PurePosixPath(image).as_posix()


def _meant(image: str, folder: Path, by_stem: dict[str, list[Path]]) -> list[Path]:
    """The files that a bare name may mean. A path means its own file only: benign/1.png is not malignant/1.png."""
    if "/" in image:
        return []
    files = [path for path in by_stem.get(stem_of(image), []) if path.is_file()]
    files = [path for path in files if path.name == image] or files
    # Kaggle's HAM10000 holds every image twice, in folders that differ in capitals only: the first wins.
    unlike = {(path.relative_to(folder).as_posix().casefold(), path.stat().st_size): path for path in reversed(files)}
    return sorted(unlike.values())


def _why_not(files: list[Path], folder: Path) -> str:
    if not files:
        return "there is no such file"
    names = ", ".join(path.relative_to(folder).as_posix() for path in files[:3]) + (" ..." if len(files) > 3 else "")
    return f"{len(files)} files have this name ({names}): write the path"
