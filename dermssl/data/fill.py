"""Filling the folder of a cache, so that a kill, a full disk or a second process cannot spoil it."""

import errno
import functools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dermssl.data import cache_files
from dermssl.data.cache_files import UNFINISHED, Row, is_cache, relative_path
from dermssl.data.claim import held, reporting_os_errors
from dermssl.data.formats import UnreadableImage
from dermssl.data.journal import Line, still_holding
from dermssl.data.odd import kind_of
from dermssl.data.records import Kind, Problem, Records
from dermssl.documents import DamagedDocument, MissingDocument, read_json
from dermssl.errors import DermsslError
from dermssl.files import sync_folder, write_text
from dermssl.progress import progress_bar
from dermssl.regular import open_own

LOGGER = logging.getLogger("dermssl")

_CHUNK_BYTES = 64 * 2**20  # of decoded images held in memory, and lost when a run is killed
_REQUEST, _JOURNAL = "request.json", "journal"


class Rendered(NamedTuple):
    """The image of a record."""

    pixels: npt.NDArray[np.uint8]  # (S, S, 3)
    sha256: str  # of its file
    aspect: float | None  # width / height of the photograph as displayed; None where nobody knows
    odd: str = ""  # what is wrong with it that does not keep it from being used


Render = Callable[[int], Rendered]


@dataclass(frozen=True)
class Plan:
    """What decides a cache.

    Attributes:
        records: who the images are.
        render: gives the image of a record by its index, or raises `UnreadableImage`.
        request: sha256 of what makes this input this input; a cache made for another one is an error.
        size, fit: as in `dermssl.data.prepare.prepare`.
        resize: how, in words; as in `dermssl.data.cache.Cache`.
    """

    records: Records
    render: Render
    request: str
    size: int
    fit: str
    resize: str = "bicubic"

    @property
    def row_bytes(self) -> int:
        """Bytes of an image in images.npy."""
        return self.size * self.size * 3

    @property
    def file_bytes(self) -> int:
        """Bytes of images.npy, if all of them can be read."""
        return cache_files.HEADER_BYTES + len(self.records) * self.row_bytes

    @property
    def summary(self) -> dict[str, Any]:
        """What the manifest says of it."""
        source = str(self.records.source.resolve())
        summary = {"request": self.request, "source": source, "size": self.size, "fit": self.fit}
        return summary if self.resize == "bicubic" else {**summary, "resize": self.resize}


def build(folder: Path, plan: Plan, *, workers: int | None, max_bad: float = 0.05, progress: bool = True) -> None:
    """Fill ``folder``: in ``unfinished/``, moved out at the end. Nothing to do if it holds the same already.

    Args:
        folder: the cache's.
        plan: of what it is to hold.
        workers, max_bad, progress: as in `dermssl.data.prepare.prepare`.
    """
    if is_cache(folder) and not os.path.lexists(folder / UNFINISHED):
        return _reuse(folder, plan)
    with reporting_os_errors(folder, plan.file_bytes), held(folder):
        work = folder / UNFINISHED
        if is_cache(folder):  # another process has just finished it, or one was killed right after
            shutil.rmtree(work, ignore_errors=True)
            return _reuse(folder, plan)
        work.mkdir(exist_ok=True)
        if not (work / cache_files.MANIFEST).exists():
            _start(work, plan)
            lines = _fill(work, plan, workers, max_bad, progress)
            _finish(work, plan, lines)
        for name in (cache_files.IMAGES, cache_files.RECORDS, cache_files.PROBLEMS, cache_files.MANIFEST):
            if (work / name).exists():  # moved already, if the last run was killed right here
                os.replace(work / name, folder / name)
        sync_folder(folder)
        shutil.rmtree(work, ignore_errors=True)
        _check_same(folder, plan)  # what a killed run had finished may be another set


def _reuse(folder: Path, plan: Plan) -> None:
    manifest = _check_same(folder, plan)
    if manifest.get("unreadable"):
        _warn_left_out(folder, manifest["unreadable"])


@functools.cache  # once a process: an evaluation asks for the same cache many times
def _warn_left_out(folder: Path, count: int) -> None:
    # A file that can be read again (a mended permission, a disk that was away) looks the same from outside.
    LOGGER.warning(
        "%s leaves out %d images that could not be read when it was made (%s names them); if they can be read now, "
        "delete %s and it is made anew",
        folder,
        count,
        cache_files.PROBLEMS,
        folder,
    )


def _check_same(folder: Path, plan: Plan) -> dict[str, Any]:
    manifest = cache_files.read_manifest(folder)
    if manifest["request"] == plan.request:
        return manifest
    size_and_fit = f"{manifest['size']} px, fit {manifest['fit']}"
    have = f"{manifest['images']:,} images of {manifest['source']} at {size_and_fit}"
    want = f"{len(plan.records):,} images of {plan.records.source} at {plan.size} px, fit {plan.fit}"
    changed = "or its files or labels have changed"
    if manifest["version"] < cache_files.VERSION:
        changed += ", or only that it was made by an earlier version of dermssl"
    raise DermsslError(
        f"{folder} already holds a cache of {have}, and {want} were asked for ({changed}). "
        "Delete it or name another --output"
    )


def _start(work: Path, plan: Plan) -> None:
    """Make ``work`` ready: keep what an interrupted run with the same request has left, else start afresh."""
    path, summary = work / _REQUEST, plan.summary
    try:
        schema = {name: type(value) for name, value in summary.items()}
        earlier = read_json(path, "what is being prepared", schema, remedy=f"delete {work}")
    except MissingDocument:
        earlier = None
    except DamagedDocument as error:
        LOGGER.warning("starting over: %s", error)
        earlier = None
    if earlier == summary:
        return
    if earlier is not None and {**earlier, "request": ""} != {**summary, "request": ""}:
        raise DermsslError(
            f"{work.parent} holds an unfinished cache of {earlier['source']} at {earlier['size']} px, "
            f"fit {earlier['fit']}; finish that, delete the folder, or name another --output"
        )
    if earlier is not None:
        LOGGER.info("the files in %s have changed since the interrupted run: starting over", summary["source"])
    for name in (_JOURNAL, cache_files.IMAGES):
        (work / name).unlink(missing_ok=True)
    write_text(path, json.dumps(summary))


def _fill(work: Path, plan: Plan, workers: int | None, max_bad: float, progress: bool) -> list[Line]:
    """Write the images, in order, those that decode; returns what became of each record.

    A line of the journal says what became of a record. It is written after the image has reached the disk, so
    that the next run can trust it.
    """
    total, row_bytes = len(plan.records), plan.row_bytes
    threads = min(workers or _cores(), max(1, total))

    def attempt(index: int) -> tuple[npt.NDArray[np.uint8] | None, Line]:
        try:
            pixels, digest, aspect, odd = plan.render(index)
        except UnreadableImage as error:
            return None, Line(None, str(error))
        except MemoryError as error:
            raise _out_of_memory(plan.records.paths[index], threads) from error
        return pixels, Line(Row(digest, aspect, cache_files.checksum(pixels)), odd)

    lines = still_holding(work / _JOURNAL, work / cache_files.IMAGES, row_bytes, attempt)
    written = sum(line.row is not None for line in lines)
    if lines:
        LOGGER.info("continuing %s: %d of %d images are done", work.parent, len(lines), total)
    chunk = max(threads, min(256, _CHUNK_BYTES // row_bytes))

    # Threads, not processes: PIL decodes and resizes without the interpreter lock, nothing needs pickling, and
    # a script that calls dermssl.pretrain needs no __main__ guard. Measured in docs/measurements/performance.md.
    with (
        open(open_own(work / cache_files.IMAGES, os.O_RDWR | os.O_CREAT), "r+b", buffering=0) as images,
        open(open_own(work / _JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a", encoding="utf-8") as journal,
        ThreadPoolExecutor(threads) as pool,
        progress_bar(total, "preparing", "images", start=len(lines), shown=progress) as bar,
    ):
        _allocate(images.fileno(), plan.file_bytes)
        for start in range(len(lines), total, chunk):
            indices = range(start, min(start + chunk, total))
            for pixels, line in pool.map(attempt, indices):
                if pixels is not None:
                    images.seek(cache_files.HEADER_BYTES + written * row_bytes)
                    _write(images.fileno(), pixels)
                    written += 1
                lines.append(line)
                bar.update()
            os.fsync(images.fileno())
            journal.writelines(line.text() for line in lines[start:])
            journal.flush()
            os.fsync(journal.fileno())
            if len(lines) - written > max_bad * total:
                break
        _refuse_bad(plan, lines, max_bad)
        images.seek(0)
        _write(images.fileno(), np.frombuffer(cache_files.npy_header((written, plan.size, plan.size, 3)), np.uint8))
        images.truncate(cache_files.HEADER_BYTES + written * row_bytes)
        os.fsync(images.fileno())
    return lines


def _out_of_memory(path: Path, threads: int) -> DermsslError:
    fewer = f"use --workers {threads // 2}" if threads > 1 else "close other programs, or leave this image out"
    return DermsslError(
        f"{path}: not enough memory to decode it with {threads} workers; {fewer}. What is done is kept, and the "
        "next run continues from there"
    )


def _write(descriptor: int, pixels: npt.NDArray[np.uint8]) -> None:
    """All of ``pixels``: a system call may write less than it was given, as where a disk becomes full."""
    data = np.ascontiguousarray(pixels).data.cast("B")
    while data:
        data = data[os.write(descriptor, data) :]


def _unreadable(plan: Plan, lines: list[Line]) -> list[Problem]:
    paths, source = plan.records.paths, plan.records.source
    return [
        Problem(relative_path(path, source), f"unreadable: {line.reason}", Kind.UNREADABLE)
        for path, line in zip(paths, lines, strict=False)  # too many bad ones end it early
        if line.row is None
    ]


def _refuse_bad(plan: Plan, lines: list[Line], max_bad: float) -> None:
    bad, total = _unreadable(plan, lines), len(plan.records)
    if len(bad) > max_bad * total or len(bad) == len(lines):
        named = "; ".join(f"{problem.path}: {problem.reason}" for problem in bad[:3])
        raise DermsslError(
            f"{plan.records.source}: {len(bad):,} of the first {len(lines):,} images ({total:,} in all) "
            f"are unreadable, more than {max_bad:.0%}: {named}. Repair or remove them, or allow a larger "
            "share with --max-bad"
        )


def _copies(records: Records, rows: list[Row]) -> list[Problem]:
    first: dict[str, int] = {}
    names = [relative_path(path, records.source) for path in records.paths]
    return [
        Problem(names[i], f"byte for byte the same as {names[first[row.sha256]]}", Kind.COPY)
        for i, row in enumerate(rows)
        if first.setdefault(row.sha256, i) != i
    ]


def _finish(work: Path, plan: Plan, lines: list[Line]) -> None:
    """Write what goes beside the images; the manifest is the last, and with it the cache is complete."""
    records, rows = plan.records, [line.row for line in lines if line.row is not None]
    kept = records.select([index for index, line in enumerate(lines) if line.row is not None])
    bad, copies = _unreadable(plan, lines), _copies(kept, rows)
    odd = [
        Problem(relative_path(path, records.source), line.reason, kind_of(line.reason))
        for path, line in zip(records.paths, lines, strict=True)
        if line.row is not None and line.reason
    ]
    problems = [*records.problems, *bad, *odd, *copies]
    for kind, some in (
        ("unreadable (left out)", bad),
        ("odd (kept): perhaps cut short, masks or several pictures in one file", odd),
        ("byte for byte copies of others (kept)", copies),
    ):
        if some:
            names = ", ".join(problem.path for problem in some[:3]) + (" ..." if len(some) > 3 else "")
            LOGGER.warning("%d images are %s: %s; see %s", len(some), kind, names, work.parent / cache_files.PROBLEMS)
    table = cache_files.table_rows(kept, rows)
    tables: dict[str, Iterable[Sequence[str]]] = {
        cache_files.RECORDS: table,
        cache_files.PROBLEMS: cache_files.problem_rows(problems),
    }
    manifest = {
        "format": cache_files.FORMAT,
        "version": cache_files.VERSION,
        **plan.summary,
        "layout": records.layout,
        "images": len(kept),
        "classes": list(records.classes),
        "grouped": records.groups is not None,
        "content_hash": cache_files.hash_rows(table, plan.size, plan.fit),
        "unreadable": len(bad),
        "duplicates": len(copies),
        "problems": len(problems),
        "sha256": {name: cache_files.write_csv(work / name, cells) for name, cells in tables.items()},
    }
    write_text(work / cache_files.MANIFEST, json.dumps(cache_files.sealed(manifest), indent=1) + "\n")


def _allocate(descriptor: int, size: int) -> None:
    """Claim the room before the work: a full disk shows at once, not after an hour."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
