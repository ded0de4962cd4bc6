"""``prepare``: from a DATA argument to a cache, made once and opened from then on."""

import hashlib
import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermssl.data import cache_files
from dermssl.data.arguments import PrepareOptions
from dermssl.data.cache import Cache, open_cache
from dermssl.data.cache_files import is_cache, relative_path
from dermssl.data.columns import Columns, by_columns
from dermssl.data.decode import decode_shaped
from dermssl.data.fill import Plan, Render, Rendered, build
from dermssl.data.layouts.names import need_utf8
from dermssl.data.odd import oddity
from dermssl.data.read import path_of, read_records, renamed_cache
from dermssl.data.records import Kind, Records
from dermssl.data.resize import Resize, smaller_square
from dermssl.errors import DermsslError
from dermssl.options import Fit, takes

LOGGER = logging.getLogger("dermssl")


@takes(PrepareOptions)
def prepare(data: Any, output: str | Path, options: PrepareOptions) -> Cache:
    """Decode every image of ``data`` once and write it to ``output``.

    An interrupted run continues where it stopped, and tries again what it could not read; one that is
    complete is opened at once.

    Args:
        data: a folder, table or prepared cache (see docs/guides/data.md). A cache is reduced to ``size``.
        output: the folder to write; empty, new, or made from the same images by an earlier call.
        options: the fields of `PrepareOptions`, by keyword.

    Raises:
        DermsslError: nothing to read, too much unreadable, no room or permission to write, or an
            ``output`` that holds something else.
    """
    size, fit = options.size, options.fit
    data = by_columns(data, options.label, options.group)
    source, folder = path_of(data), _output(output)
    if source is not None and folder.resolve() in (source.resolve(), *source.resolve().parents):
        raise DermsslError(f"--output {folder} is the data itself or a folder around it; name another folder")
    if source is not None and is_cache(source):
        need_utf8(source)
        plan = _reduction(open_cache(source), size, data, "bicubic")
    else:
        plan = _originals(data, size, fit, "bicubic")
    build(folder, plan, workers=options.workers, max_bad=options.max_bad, progress=options.progress)
    return open_cache(folder)


def cached(
    data: Any,
    *,
    size: int,
    fit: Fit = "squash",
    resize: Resize = "bicubic",
    workers: int | None = None,
    progress: bool = True,
) -> Cache:
    """The cache of ``data`` at ``size``: opened if it is one, else prepared into the user's cache folder.

    The folder is ``$DERMSSL_CACHE``, or ``~/.cache/dermssl``; the key is the list of files with their sizes
    and times, their labels, ``size`` and ``fit``, so that a second run starts at once. A prepared cache with
    larger images is reduced once and kept there too; one with smaller images is used as it is.

    Args:
        data: any DATA argument (see docs/guides/data.md).
        size: edge length in pixels; `source_size` gives it for a training size.
        fit: "squash" or "crop"; a prepared cache has its own.
        resize: as in `dermssl.data.decode.decode`.
        workers: threads; default one per CPU core.
        progress: show a progress bar on standard error.
    """
    PrepareOptions(size=size, fit=fit, workers=workers)  # refuses what is out of range
    source = path_of(data)
    if source is not None and is_cache(source):
        need_utf8(source)
        cache = open_cache(source)
        if cache.fit != fit:
            LOGGER.info("%s was prepared with fit=%r, which is used instead of %r", source, cache.fit, fit)
        if cache.size <= size:
            if cache.size < size:
                LOGGER.info("%s holds %d px images, fewer than the %d asked for", source, cache.size, size)
            return renamed_cache(cache, data)
        plan = _reduction(cache, size, data, resize)
    else:
        plan = _originals(data, size, fit, resize)
    name = "".join(c if c.isalnum() else "-" for c in (source or plan.records.source).resolve().stem)[:40] or "data"
    key = hashlib.sha256(f"{plan.records.source.resolve()}\n{plan.request}".encode()).hexdigest()[:16]
    folder = user_folder() / f"{name}-{size}-{plan.fit}-{key}"
    build(folder, plan, workers=workers, progress=progress)
    return open_cache(folder)


def evaluated(
    data: Any,
    *,
    image_size: int,
    fit: Fit = "squash",
    workers: int | None = None,
    progress: bool = True,
) -> Cache:
    """The cache of ``data`` for a network that sees ``image_size`` pixels, as `cached` keeps it.

    Files are decoded at that size, to the pixel as timm's own transform makes it of them, so that an evaluation gives
    the features that a user of the weights gets. A prepared cache has been resized once already; a larger one is
    reduced by the same arithmetic, which comes close.

    Args:
        data, fit, workers, progress: as in `cached`.
        image_size: edge length in pixels.
    """
    return cached(data, size=image_size, fit=fit, resize="bilinear", workers=workers, progress=progress)


def _output(output: str | Path) -> Path:
    try:
        folder = Path(output).expanduser()
        os.stat(folder)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RuntimeError) as error:  # too long, a loop of links; NUL; no such home
        said = error.strerror if isinstance(error, OSError) else error
        if not isinstance(error, NotADirectoryError | PermissionError):  # said when it is written
            raise DermsslError(f"--output {output}: {said}; name another folder") from error
    need_utf8(folder)
    return folder


def user_folder() -> Path:
    """Where caches lie that no folder was named for: ``$DERMSSL_CACHE``, or ``~/.cache/dermssl``."""
    return Path(os.environ.get("DERMSSL_CACHE") or Path.home() / ".cache" / "dermssl")


def _request(records: Records, size: int, fit: str, resize: Resize) -> str:
    """sha256 of all that decides what a cache will hold, without reading an image."""
    how = [] if resize == "bicubic" else [resize]
    digest = hashlib.sha256(json.dumps([cache_files.VERSION, size, fit, records.classes, *how]).encode())
    for i, path in enumerate(records.paths):
        extra = [texts[i] for texts in records.attributes.values()]
        group = records.groups[i] if records.groups is not None else None
        row = [
            records.ids[i],
            relative_path(path, records.source),
            *records.opener.state(path),
            int(records.labels[i]),
            group,
            extra,
        ]
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _originals(data: Any, size: int, fit: Fit, resize: Resize) -> Plan:
    records = read_records(data)
    render, request = _decoding(records, size, fit, resize), _request(records, size, fit, resize)
    return Plan(records, render, request, size, fit, resize)


def _decoding(records: Records, size: int, fit: Fit, resize: Resize) -> Render:
    def render(index: int) -> Rendered:
        data = records.opener.read(records.paths[index])
        pixels, aspect = decode_shaped(data, size, fit, resize)
        return Rendered(pixels, hashlib.sha256(data).hexdigest(), aspect, oddity(data, pixels))

    return render


def _reduction(cache: Cache, size: int, data: Any, resize: Resize) -> Plan:
    if size > cache.size:
        raise DermsslError(f"{cache.path} holds {cache.size} px images: --size {size} needs the original files")

    def render(index: int) -> Rendered:
        smaller = smaller_square(Image.fromarray(cache.images[index]), size, resize)
        aspect = None if cache.aspects is None else float(cache.aspects[index])
        return Rendered(np.asarray(smaller), cache.hashes[index], aspect)

    named = [data.label, data.group] if isinstance(data, Columns) else []
    how = "bicubic" if resize == cache.resize == "bicubic" else f"{cache.resize} to {cache.size} px, then {resize}"
    what = [cache_files.VERSION, cache.content_hash, size, *named, *([] if how == "bicubic" else [how])]
    request = hashlib.sha256(json.dumps(what).encode()).hexdigest()
    # Duplicates are found again; the rest of what was wrong stays known.
    problems = tuple(problem for problem in cache.problems if problem.kind is not Kind.COPY)
    records = replace(renamed_cache(cache, data).records, problems=problems)
    return Plan(records, render, request, size, cache.fit, how)
