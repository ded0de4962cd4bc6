"""Groups of records: from lesions and patients, from known pairs, and what in them looks wrong."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from statistics import median

from dermssl.data.groups import joined
from dermssl.data.layouts.found import Row
from dermssl.data.layouts.names import SHORTENED, stem_of, without_suffix
from dermssl.data.records import Kind, Problem, Records

HAM10000_PAIRS = "ham10000_same_lesion_pairs.csv"
PAIRS_SOURCE = "Abhishek K., Jain A., Hamarneh G. Investigating the quality of DermaMNIST and Fitzpatrick17k (2024)"
_NOT_KNOWN = {"n.a.", "not known", "not available", "missing"}  # besides the words that no table means anything by
LARGEST = 0.5  # share of the images in one group from which on it is said


def groups_of(rows: list[Row]) -> tuple[tuple[str, ...] | None, list[Problem]]:
    """The group of each row: everything linked by a lesion or a patient is one group, named by the patient.

    Joined rather than picked row by row, since a table may know the patient of one image of a lesion only. Lesions
    that are numbered anew in every patient link nothing across patients.
    """
    lesions, problems = _ids([row.lesion for row in rows], "lesion")
    patients, more = _ids([row.patient for row in rows], "patient")
    problems += more
    problems += [
        Problem(
            what,
            f"{len(some):,} images have ids such as {some[0]}, which a spreadsheet has shortened: what it made "
            "alike is one group; format the column as text before you save it",
            Kind.GROUP,
        )
        for what, ids in (("lesion_id", lesions), ("patient_id", patients))
        if (some := [text for text in ids if text and SHORTENED.fullmatch(text)])
    ]
    if not any(lesions) and not any(patients):
        return None, problems
    if _restart(lesions, patients):
        reason = "lesion numbers start again in every patient: they join no images of different patients"
        problems.append(Problem("lesion_id", reason, Kind.GROUP))
        lesions = [None if patient else lesion for lesion, patient in zip(lesions, patients, strict=True)]
    first: dict[str, int] = {}
    pairs = []
    for index, (lesion, patient) in enumerate(zip(lesions, patients, strict=True)):
        keys = (lesion and f"lesion:{lesion}", patient and f"patient:{patient}")
        pairs += [(first.setdefault(key, index), index) for key in keys if key]
    roots = joined([str(index) for index in range(len(rows))], pairs)
    # A patient and a lesion keep their own names; an image without either is marked, and so is a lesion named like a
    # patient, so that two groups never meet in one name.
    names: dict[str, str] = {}
    for root, patient in zip(roots, patients, strict=True):
        if patient:
            names.setdefault(root, patient)
    taken = {patient for patient in patients if patient}
    for root, lesion, row in zip(roots, lesions, rows, strict=True):
        own = f"lesion:{lesion}" if lesion in taken else lesion
        names.setdefault(root, own or own_group(row.id))
    groups = tuple(names[root] for root in roots)
    return groups, problems + _huge(groups)


def own_group(image: str) -> str:
    """The group of an image whose lesion and patient are not known."""
    return f"image:{image}"


def known_groups(records: Records) -> list[str | None]:
    """The lesion or patient of each image; None where nobody knows it, so that the image is its own group."""
    if records.groups is None:
        return [None] * len(records)
    counts = Counter(records.groups)
    return [
        None if counts[group] == 1 and group == own_group(image) else group
        for image, group in zip(records.ids, records.groups, strict=True)
    ]


def _ids(texts: list[str | None], what: str) -> tuple[list[str | None], list[Problem]]:
    """The lesions or patients, None where they are not known, and what is to be said about them."""
    ids, problems = _without_fillers([_whole(text) for text in texts], what)
    ids, more = _one_spelling(ids, what)
    return ids, problems + more


def _whole(text: str | None) -> str | None:
    """``12`` for ``12.0``, as pandas writes whole numbers of a column that has blanks."""
    number = re.fullmatch(r"(-?\d+)\.0+", text) if text else None
    return number[1] if number else text


def _without_fillers(ids: list[str | None], what: str) -> tuple[list[str | None], list[Problem]]:
    """Without -1, ? and the like, and without a 0 that so many images have that it stands for "none"."""
    counts = Counter(text for text in ids if text)
    fillers = {
        text
        for text in counts
        if text in ("-1", "-1.0") or text.casefold() in _NOT_KNOWN or not any(map(str.isalnum, text))
    }
    others = [count for text, count in counts.items() if text not in ("0", "0.0", "-1", "-1.0")]
    for zero in ("0", "0.0"):
        if others and counts[zero] > max(5, 3 * median(others)):
            fillers.add(zero)
    problems = [
        Problem(f"{what}_id", f"{counts[text]:,} images have {text} as {what}: taken as unknown", Kind.GROUP)
        for text in sorted(fillers)
    ]
    return [None if text in fillers else text for text in ids], problems


def _one_spelling(ids: list[str | None], what: str) -> tuple[list[str | None], list[Problem]]:
    """Ids that differ in capitals, spaces or zeros in front only as one: as two they would let a lesion leak."""
    first: dict[str, str] = {}
    others: dict[str, set[str]] = {}
    for text in filter(None, ids):
        one = first.setdefault(spelled(text), text)
        if text != one:
            others.setdefault(one, set()).add(text)
    problems = [
        Problem(
            f"{what}_id",
            f"{len(others):,} {what}s are spelled in several ways ({one}, {', '.join(sorted(more))} ...): each is one",
            Kind.GROUP,
        )
        for one, more in list(others.items())[:1]
    ]
    return [first[spelled(text)] if text else None for text in ids], problems


def spelled(text: str) -> str:
    """An id without what tables write in several ways: capitals, spaces and zeros in front."""
    plain = " ".join(text.casefold().split())
    return plain.lstrip("0") or "0" if plain.isdecimal() else plain


def _restart(lesions: list[str | None], patients: list[str | None]) -> bool:
    """Whether lesions are numbered within each patient: many of them, or bare small numbers, have several patients."""
    of: dict[str, set[str]] = {}
    for lesion, patient in zip(lesions, patients, strict=True):
        if lesion and patient:
            of.setdefault(lesion, set()).add(patient)
    several = [lesion for lesion, owners in of.items() if len(owners) > 1]
    return bool(several) and (
        len(several) >= 0.2 * len(of) or all(text.isdigit() and len(text) < 4 for text in several)
    )


def _huge(groups: tuple[str, ...]) -> list[Problem]:
    name, count = Counter(groups).most_common(1)[0]
    if len(groups) < 20 or count <= LARGEST * len(groups):
        return []
    reason = f"{count:,} of {len(groups):,} images are one group: check the lesion and patient columns for {name!r}"
    return [Problem(name, reason, Kind.GROUP)]


def join_groups(records: Records, pairs: Iterable[tuple[str, str]], source: str) -> Records:
    """The records with the groups of each pair of images made one, and with a problem that says so.

    Args:
        records: of which the images of the pairs may be a part.
        pairs: ids of two images that show one lesion, with or without their suffixes.
        source: who says so.
    """
    there = _rows_of(pairs, records.ids)
    if not there:
        return records
    before = records.groups or tuple(map(own_group, records.ids))
    after = joined(before, there)
    merged = len(set(before)) - len(set(after))
    if not merged:
        return records
    problem = Problem("groups", said_of_pairs(len(there), merged, source), Kind.JOINED)
    return replace(records, groups=after, problems=(*records.problems, problem))


def join_twins(records: Records) -> Records:
    """The records with files of one folder that differ in their suffix only in one group: a.jpg and its copy a.png."""
    first: dict[str, int] = {}
    pairs = []
    for row, path in enumerate(records.paths):
        one = first.setdefault(without_suffix(path.as_posix()), row)
        pairs += [(one, row)] if records.paths[one] != path else []
    if not pairs:
        return records
    before = records.groups or tuple(map(own_group, records.ids))
    names = " and ".join(records.paths[row].name for row in pairs[0])
    reason = (
        f"{len(pairs):,} images have the name of another one with another suffix ({names}): taken as copies, one group"
    )
    problem = Problem(records.ids[pairs[0][1]], reason, Kind.JOINED)
    return replace(records, groups=joined(before, pairs), problems=(*records.problems, problem))


def said_of_pairs(pairs: int, merged: int, source: str = PAIRS_SOURCE) -> str:
    """What a report says of pairs that made so many groups fewer."""
    return f"{pairs} pairs of images show one lesion under two ids: {merged} groups fewer ({source})"


def known_pairs(ids: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of the pairs of two lesions that are known to show one.

    By their names alone: the Archive's numbers are given once, whatever folder or table the images have come to.
    """
    return _rows_of(ham10000_pairs(), ids)


def _rows_of(pairs: Iterable[tuple[str, str]], ids: Sequence[str]) -> list[tuple[int, int]]:
    places: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        places.setdefault(stem_of(name), []).append(row)
    return [
        (one, other) for a, b in pairs for one in places.get(stem_of(a), ()) for other in places.get(stem_of(b), ())
    ]


@cache
def ham10000_pairs() -> tuple[tuple[str, str], ...]:
    """The 18 pairs of HAM10000 that show one lesion under two lesion ids.

    Source: Abhishek, Jain, Hamarneh, "Investigating the Quality of DermaMNIST and Fitzpatrick17k Dermatological Image
    Datasets", 2024.
    """
    text = (resources.files("dermssl.data.layouts") / HAM10000_PAIRS).read_text(encoding="utf-8")
    return tuple((row[0], row[1]) for row in list(csv.reader(text.splitlines()))[1:])
