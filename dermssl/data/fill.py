"""Filling the folder of a cache, so that a kill, a full disk or a second process cannot spoil it."""

import errno
import functools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from dermssl.data import cache_files
from dermssl.data.cache_files import UNFINISHED, is_cache, relative_path
from dermssl.data.decode import UnreadableImage
from dermssl.data.records import Kind, Problem, Records
from dermssl.errors import DermsslError
from dermssl.files import sync_folder, write_text
from dermssl.progress import progress_bar

LOGGER = logging.getLogger("dermssl")

_LOCK = ".lock"
_CHUNK_BYTES = 64 * 2**20  # of decoded images held in memory, and lost when a run is killed

# (index of the record) -> (S, S, 3) uint8 and the sha256 of its file
Render = Callable[[int], tuple[npt.NDArray[np.uint8], str]]
# (index of the record) -> its pixels and sha256, or None and the reason why it cannot be read
Attempt = Callable[[int], tuple[npt.NDArray[np.uint8] | None, str, str]]


def build(
    folder: Path,
    records: Records,
    render: Render,
    request: str,
    size: int,
    fit: str,
    workers: int | None,
    max_bad: float,
    progress: bool,
) -> None:
    """Fill ``folder``: in ``unfinished/``, moved out at the end. Nothing to do if it holds the same already.

    Args:
        folder: the cache's.
        records: who the images are.
        render: gives the image of a record, or raises `UnreadableImage`.
        request: what makes this input this input; a cache made for another one is an error.
        size, fit, workers, max_bad, progress: as in `dermssl.data.prepare.prepare`.
    """
    if is_cache(folder):
        return _reuse(folder, request, records, size, fit)
    with _reporting_os_errors(folder), _locked(folder):
        if is_cache(folder):  # another process has just finished it
            return _reuse(folder, request, records, size, fit)
        work = folder / UNFINISHED
        work.mkdir(exist_ok=True)
        if not (work / cache_files.MANIFEST).exists():
            summary = {"request": request, "source": str(records.source.resolve()), "size": size, "fit": fit}
            _start(work, summary)
            ok, hashes, bad = _fill(work, records, render, size, workers, max_bad, progress)
            _finish(work, records, ok, hashes, bad, summary)
        for name in (cache_files.IMAGES, cache_files.RECORDS, cache_files.PROBLEMS, cache_files.MANIFEST):
            if (work / name).exists():  # moved already, if the last run was killed right here
                os.replace(work / name, folder / name)
        sync_folder(folder)
        shutil.rmtree(work, ignore_errors=True)
        _check_same(folder, request, records, size, fit)  # what a killed run had finished may be another set


def _reuse(folder: Path, request: str, records: Records, size: int, fit: str) -> None:
    manifest = _check_same(folder, request, records, size, fit)
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


def _check_same(folder: Path, request: str, records: Records, size: int, fit: str) -> dict[str, Any]:
    manifest = cache_files.read_manifest(folder)
    if manifest["request"] == request:
        return manifest
    size_and_fit = f"{manifest['size']} px, fit {manifest['fit']}"
    have = f"{manifest['images']:,} images of {manifest['source']} at {size_and_fit}"
    want = f"{len(records):,} images of {records.source} at {size} px, fit {fit}"
    raise DermsslError(
        f"{folder} already holds a cache of {have}; asked for is {want} (or its files or labels have "
        "changed). Delete it or name another --output"
    )


def _start(work: Path, summary: dict[str, Any]) -> None:
    """Make ``work`` ready: keep what an interrupted run with the same request has left, else start afresh."""
    path = work / "request.json"
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        earlier = None
    if earlier == summary:
        return
    if earlier is not None and {**earlier, "request": ""} != {**summary, "request": ""}:
        raise DermsslError(
            f"{work.parent} holds an unfinished cache of {earlier.get('source')} at {earlier.get('size')} px, "
            f"fit {earlier.get('fit')}; finish that, delete the folder, or name another --output"
        )
    if earlier is not None:
        LOGGER.info("the files in %s have changed since the interrupted run: starting over", summary["source"])
    for name in ("journal", cache_files.IMAGES):
        (work / name).unlink(missing_ok=True)
    write_text(path, json.dumps(summary))


def _fill(
    work: Path,
    records: Records,
    render: Render,
    size: int,
    workers: int | None,
    max_bad: float,
    progress: bool,
) -> tuple[list[int], list[str], list[Problem]]:
    """Write the images, in order, those that decode; returns their indices, their hashes and the others.

    A line of the journal says what became of a record. It is written after the image has reached the disk, so
    that the next run can trust it.
    """
    total, row = len(records), size * size * 3

    def attempt(index: int) -> tuple[npt.NDArray[np.uint8] | None, str, str]:
        try:
            pixels, digest = render(index)
        except UnreadableImage as error:
            return None, "", str(error)
        return pixels, digest, ""

    lines = _tried_again(work / "journal", attempt)
    ok = [i for i, (digest, _) in enumerate(lines) if digest]
    hashes = [digest for digest, _ in lines if digest]
    bad = [(i, reason) for i, (digest, reason) in enumerate(lines) if not digest]
    if lines:
        LOGGER.info("going on with %s: %d of %d images are done", work.parent, len(lines), total)
    threads = min(workers or _cores(), max(1, total))
    chunk = max(threads, min(256, _CHUNK_BYTES // row))

    # Threads, not processes: PIL decodes and resizes without the interpreter lock, nothing needs pickling, and
    # a script that calls dermssl.pretrain needs no __main__ guard. Measured in docs/data.md.
    with (
        open(work / cache_files.IMAGES, "r+b" if lines else "w+b", buffering=0) as images,
        open(work / "journal", "a", encoding="utf-8") as journal,
        ThreadPoolExecutor(threads) as pool,
        progress_bar(total, "preparing", "images", start=len(lines), shown=progress) as bar,
    ):
        _allocate(images.fileno(), cache_files.HEADER_BYTES + total * row)
        for start in range(len(lines), total, chunk):
            indices = range(start, min(start + chunk, total))
            entries = []
            for index, (pixels, digest, reason) in zip(indices, pool.map(attempt, indices), strict=True):
                if pixels is None:
                    bad.append((index, reason))
                else:
                    images.seek(cache_files.HEADER_BYTES + len(ok) * row)
                    images.write(np.ascontiguousarray(pixels).data)
                    ok.append(index)
                    hashes.append(digest)
                entries.append(_line(digest, reason))
                bar.update()
            os.fsync(images.fileno())
            journal.writelines(entries)
            journal.flush()
            os.fsync(journal.fileno())
            if len(bad) > max_bad * total:
                break
        problems = [
            Problem(relative_path(records.paths[i], records.source), f"unreadable: {reason}", Kind.UNREADABLE)
            for i, reason in bad
        ]
        if len(bad) > max_bad * total or not ok:
            named = "; ".join(f"{problem.path}: {problem.reason}" for problem in problems[:3])
            raise DermsslError(
                f"{records.source}: {len(bad):,} of the first {len(ok) + len(bad):,} images ({total:,} in all) "
                f"are unreadable, more than {max_bad:.0%}: {named}. Repair or remove them, or allow a larger "
                "share with --max-bad"
            )
        images.seek(0)
        images.write(cache_files.npy_header((len(ok), size, size, 3)))
        images.truncate(cache_files.HEADER_BYTES + len(ok) * row)
        os.fsync(images.fileno())
    return ok, hashes, problems


def _finish(
    work: Path,
    records: Records,
    ok: list[int],
    hashes: list[str],
    bad: list[Problem],
    summary: dict[str, Any],
) -> None:
    """Write what goes beside the images; the manifest is the last, and with it the cache is complete."""
    kept = records.select(ok)
    first: dict[str, int] = {}
    copies = [
        Problem(
            relative_path(path, records.source),
            f"byte for byte the same as {relative_path(kept.paths[first[h]], records.source)}",
            Kind.COPY,
        )
        for i, (path, h) in enumerate(zip(kept.paths, hashes, strict=True))
        if first.setdefault(h, i) != i
    ]
    problems = [*records.problems, *bad, *copies]
    for kind, some in (("unreadable (left out)", bad), ("byte for byte copies of others (kept)", copies)):
        if some:
            names = ", ".join(problem.path for problem in some[:3]) + (" ..." if len(some) > 3 else "")
            LOGGER.warning("%d images are %s: %s; see %s", len(some), kind, names, work.parent / cache_files.PROBLEMS)
    rows = cache_files.table_rows(kept, hashes)
    cache_files.write_csv(work / cache_files.RECORDS, rows)
    cache_files.write_csv(work / cache_files.PROBLEMS, cache_files.problem_rows(problems))
    manifest = {
        "format": cache_files.FORMAT,
        "version": cache_files.VERSION,
        **summary,
        "layout": records.layout,
        "images": len(kept),
        "classes": list(records.classes),
        "grouped": records.groups is not None,
        "content_hash": cache_files.hash_rows(rows, summary["size"], summary["fit"]),
        "unreadable": len(bad),
        "duplicates": len(copies),
        "problems": len(problems),
    }
    write_text(work / cache_files.MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _read_journal(path: Path) -> list[tuple[str, str]]:
    """(sha256, "") of an image that is written, ("", reason) of one that could not be read; in order."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    whole = text[: text.rfind("\n") + 1]  # a line cut short by a kill says nothing
    if whole != text:
        write_text(path, whole)
    return [tuple(json.loads(line)) for line in whole.splitlines()]


def _tried_again(journal: Path, attempt: Attempt) -> list[tuple[str, str]]:
    """The lines of an earlier run that still hold, up to the first image that it could not read and that now can be.

    What follows that image is decoded again, as it lies one place too early in images.npy. This is rare, and rows
    that were moved in the file instead could be left half moved by a kill.
    """
    before = _read_journal(journal)
    lines: list[tuple[str, str]] = []
    for index, (digest, reason) in enumerate(before):
        if not digest:
            pixels, _, reason = attempt(index)
            if pixels is not None:
                LOGGER.info("image %d of the interrupted run can be read now: going on from there", index + 1)
                break
        lines.append((digest, reason))
    if lines != before:
        write_text(journal, "".join(_line(*line) for line in lines))
    return lines


def _line(digest: str, reason: str) -> str:
    return json.dumps([digest, reason]) + "\n"


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


@contextmanager
def _reporting_os_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = next(path for path in (folder, *folder.parents) if path.exists())
            free = shutil.disk_usage(where).free / 2**20
            raise DermsslError(
                f"no room left for {folder} ({free:,.0f} MB free): free some, or name another --output or "
                "$DERMSSL_CACHE; what is done is kept and the next run goes on from there"
            ) from error
        raise DermsslError(
            f"{folder} cannot be written: {error.strerror or error}; name another --output or $DERMSSL_CACHE"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time fills ``folder``; the lock goes with the process, also when it is killed."""
    if folder.is_dir():
        # Beside the work in progress there may be what a run moved out of it before it was killed.
        ours = {UNFINISHED, _LOCK, cache_files.IMAGES, cache_files.RECORDS, cache_files.PROBLEMS, cache_files.MANIFEST}
        there = {path.name for path in folder.iterdir()}
        if there - ours or (there - {_LOCK} and not there & {UNFINISHED, cache_files.MANIFEST}):
            raise DermsslError(f"{folder} is not empty and holds no prepared cache; name another --output")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        LOGGER.info("another process is preparing %s: waiting for it", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
