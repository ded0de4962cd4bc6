"""Damaged files through every reader: an error that names the file, or a right result; no traceback, no hang."""

import importlib
import importlib.util
import io
import os
import random
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.soak import commands
from tests.soak.mutate import mutate
from tests.soak.scenes import BACKBONE, FOLDS, PRETRAIN, SMALL, content

LIMIT = 300  # seconds for a command of one, on a machine that does much else
FRESH = 47  # every so manieth mutant is read by a new interpreter, as a person's command is
_KNN = (*FOLDS, "--json")
_RIGHT = ("error", "right result", "another result, as the file says")
_EXPECTED: dict[int, Any] = {}  # what the readers make of undamaged files


@dataclass(frozen=True)
class Reader:
    """A command that reads a file.

    Attributes:
        reads: the file's path in the folder of inputs, a pattern of which one is drawn.
        words: of the command, given that folder.
        makes: what it writes there, for a comparison; "" for what it prints.
        exact: the file is checksummed or remade: status 0 must mean the result of the whole file.
    """

    reads: str
    words: Callable[[Path], tuple[str | Path, ...]]
    makes: str = ""
    exact: bool = False


def _pretrain(given: Path) -> tuple[str | Path, ...]:
    return ("pretrain", given / "cache", "--output", given / "stopped", "--epochs", "8", *PRETRAIN)


def _reproduce(given: Path) -> tuple[str | Path, ...]:
    return (
        "reproduce", "--pretrain-data", given / "cache", "--eval-data", given / "cache", "--output", given / "paper",
        "--methods", "random", "--tables", "1", "--epochs", "1", "--backbone", BACKBONE, "--folds", "2", "--k", "3",
        "--image-size", "32", "--device", "cpu",
    )  # fmt: skip


# a container of images, and the package of the extra "sources" that it needs: without it, that one is left out
_CONTAINERS = {
    "archive.zip": "",
    "archive.tar.gz": "",
    "shards.tar": "",
    "pixels.h5": "h5py",
    "rows.parquet": "pyarrow",
}
READERS = (
    Reader("run/config.json", lambda g: ("info", g / "run")),
    Reader("run/metrics.jsonl", lambda g: ("info", g / "run")),
    Reader("run/backbone/config.json", lambda g: ("eval-knn", g / "run", g / "cache", *_KNN)),
    Reader("run/backbone/model.safetensors", lambda g: ("eval-knn", g / "run", g / "cache", *_KNN)),
    Reader("exported/config.json", lambda g: ("info", g / "exported")),
    Reader("exported/config.json", lambda g: ("eval-knn", g / "exported", g / "cache", *_KNN)),
    Reader("exported/config.json", lambda g: ("push", g / "exported", "a/b", "--dry-run")),
    Reader("exported/model.safetensors", lambda g: ("eval-knn", g / "exported", g / "cache", *_KNN)),
    Reader("stopped/checkpoint*.pt", _pretrain, "stopped/backbone", exact=True),
    Reader("stopped/config.json", _pretrain, "stopped/backbone", exact=True),
    Reader("stopped/metrics.jsonl", _pretrain, "stopped/backbone", exact=True),
    Reader("cache/manifest.json", lambda g: ("eval-knn", g / "run", g / "cache", *_KNN)),
    Reader("cache/records.csv", lambda g: ("eval-knn", g / "run", g / "cache", *_KNN), exact=True),
    Reader("cache/images.npy", lambda g: ("eval-knn", g / "run", g / "cache", *_KNN), exact=True),
    Reader(
        "half/unfinished/*",
        lambda g: ("prepare", g / "images", "--output", g / "half", "--size", "32", "--workers", "1"),
        "half",
        exact=True,
    ),
    Reader("a.json", lambda g: ("compare", g / "a.json", g / "b.json", "--json")),
    Reader("a.csv", lambda g: ("compare", g / "a.json", g / "b.json", "--json")),
    Reader("run/evaluations/knn.json", lambda g: ("info", g / "run")),
    Reader("paper/cells/*/*.json", _reproduce, "paper"),
    Reader("paper/reports/*/*.json", _reproduce, "paper"),
    Reader("paper/settings.json", _reproduce, "paper"),
    Reader("images/HAM10000_metadata.csv", lambda g: ("embed", g / "run", g / "images", "--output", g / "e.npz")),
    Reader("cache/problems.csv", lambda g: ("eval-knn", g / "run", g / "cache", *_KNN), exact=True),
    Reader("run/backbone/*", lambda g: ("info", g / "run")),
    Reader("run/backbone/*", lambda g: ("export", g / "run", g / "anew"), "anew"),
    Reader("run/*.json*", lambda g: ("export", g / "run", g / "anew"), "anew"),
    Reader("exported/README.md", lambda g: ("push", g / "exported", "a/b", "--dry-run")),
    Reader("exported/*.json", lambda g: ("push", g / "exported", "a/b", "--dry-run")),
    Reader("fitted/*", lambda g: ("cam", g / "fitted", g / "images", "--limit", "1", "--output", g / "maps")),
    Reader("images.npz", lambda g: ("eval-knn", g / "run", g / "images.npz", *_KNN)),
    *(
        Reader(name, lambda g, name=name: ("eval-knn", g / "run", g / name, *_KNN))
        for name, needs in _CONTAINERS.items()
        if not needs or importlib.util.find_spec(needs)
    ),
    Reader("exported/results.json", lambda g: ("info", g / "exported")),
    Reader("exported/model.safetensors", lambda g: ("info", g / "exported", "--json")),
    Reader("run/config.json", lambda g: ("eval-knn", g / "run", g / "cache", *_KNN)),
    Reader(
        "run/checkpoint*.pt", lambda g: ("pretrain", g / "cache", "--output", g / "run", "--epochs", "1", *PRETRAIN)
    ),
    Reader("table/table.csv", lambda g: ("eval-knn", g / "run", g / "table", *_KNN)),
    Reader("images/HAM10000_images/*.jpg", lambda g: ("prepare", g / "images", "--output", g / "new", "--size", "32")),
    Reader("images/HAM10000_images/*.jpg", lambda g: ("embed", g / "run", g / "images", "--output", g / "e.npz")),
)


def prepare_readers(given: Path, log: Path) -> None:
    """Add to the scenes' inputs what only readers need: a stopped run, half a cache, a table, a second report."""
    draw, images, stopped = random.Random(0), given / "images" / "HAM10000_images", given / "stopped"
    child = commands.start(*_pretrain(given), "--checkpoint-every", "0", log=log)
    while not ((stopped / "checkpoint.previous.pt").exists() and (stopped / "metrics.jsonl").exists()):
        if commands.wait(child, 0.001) is not None:
            raise SystemExit(f"the soak cannot begin: a run ended before it was stopped\n{log.read_text()}")
    commands.kill(child)
    for _ in range(200):
        shutil.rmtree(given / "half", ignore_errors=True)
        child = commands.start(
            "prepare", given / "images", "--output", given / "half", "--size", "32", "--workers", "1", log=log
        )
        if commands.wait(child, draw.uniform(0, 0.2)) is None:
            commands.kill(child)
            if len(list((given / "half" / "unfinished").glob("*"))) > 1:
                break
    commands.run(*_reproduce(given), log=log)
    for name, weights in (("a", given / "run"), ("b", f"random:{BACKBONE}")):
        table = ("--predictions", given / f"{name}.csv")
        said = commands.run("eval-knn", weights, given / "cache", *_KNN, *table, log=log).said
        (given / f"{name}.json").write_text(said[said.index("{\n") :])
    commands.run(
        "finetune", given / "run", given / "cache", "--test", given / "cache", "--epochs", "1", *SMALL, "--output",
        given / "fitted", log=log,
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), np.uint8)
    np.savez(given / "images.npz", images=pixels, labels=np.arange(24) % 2)
    _containers(given, sorted(images.glob("*")))
    (given / "table").mkdir()
    for path in images.glob("*"):
        shutil.copy(path, given / "table")
    rows = [f"{path.name},{'ab'[index % 2]},g{index // 2}" for index, path in enumerate(sorted(images.glob("*")))]
    (given / "table" / "table.csv").write_text("image,label,group\n" + "\n".join(rows) + "\n")


def _containers(given: Path, images: list[Path]) -> None:
    """The same images with two classes in each kind of container."""
    labels = [index % 2 for index in range(len(images))]
    table = "image,label\n" + "".join(f"{path.name},{label}\n" for path, label in zip(images, labels, strict=True))
    with zipfile.ZipFile(given / "archive.zip", "w") as file:
        for path in images:
            file.write(path, path.name)
        file.writestr("table.csv", table)
    with tarfile.open(given / "archive.tar.gz", "w:gz") as packed, tarfile.open(given / "shards.tar", "w") as shards:
        for path, label in zip(images, labels, strict=True):
            packed.add(path, f"{label}/{path.name}")
            shards.add(path, path.name)
            info = tarfile.TarInfo(f"{path.stem}.cls")
            info.size = 1
            shards.addfile(info, io.BytesIO(str(label).encode()))
    if importlib.util.find_spec("h5py"):
        with importlib.import_module("h5py").File(given / "pixels.h5", "w") as file:
            file["images"] = np.random.default_rng(1).integers(0, 255, (24, 16, 16, 3), np.uint8)
            file["labels"] = np.arange(24) % 2
    if importlib.util.find_spec("pyarrow"):
        rows = importlib.import_module("pyarrow").table(
            {"image": [path.read_bytes() for path in images], "label": labels}
        )
        importlib.import_module("pyarrow.parquet").write_table(rows, given / "rows.parquet")


def try_all(given: Path, folder: Path, count: int, seed: int, goes_on: Callable[[], bool], jobs: int) -> dict[str, Any]:
    """Try ``count`` mutants, the readers in turn, or fewer where ``goes_on`` says no.

    A mutant is the same for each ``seed`` and number, however many ``jobs`` try them side by side.

    Returns:
        ``mutants``, how they ended, and the faults: tracebacks, hangs, errors that do not name the file or say what
        to do, and other results than the whole file's in silence, where a checksum or a new making promises it.
    """
    found = [one for one in commands.side_by_side(_try_one, range(count), jobs, given, folder, seed, goes_on) if one]
    return {
        "mutants": len(found),
        "ends": dict(Counter(one["kind"] for one in found)),
        "readers": dict(Counter(one["reader"] for one in found)),
        "fresh": sum(one["fresh"] for one in found),
        "faults": [one for one in found if one["kind"] not in _RIGHT],
    }


def _try_one(number: int, given: Path, folder: Path, seed: int, goes_on: Callable[[], bool]) -> dict[str, Any] | None:
    """Damage one file and read it; None where there is no time left."""
    if not goes_on():
        return None
    index, draw = number % len(READERS), random.Random(f"{seed} {number}")
    reader, own, log = READERS[index], folder / f"{os.getpid()}" / "mutant", folder / f"{os.getpid()}.log"
    if index not in _EXPECTED:
        _copy(reader, given, own)
        _EXPECTED[index] = _result(reader, own, commands.run(*reader.words(own), log=log, limit=LIMIT))
    _copy(reader, given, own)
    fresh = number % FRESH == FRESH - 1
    one = {"number": number, "reader": f"{reader.words(Path('.'))[0]}: {reader.reads}", "fresh": fresh}
    files = sorted(own.glob(reader.reads))
    if not files:
        return {**one, "kind": "no input", "mutant": "", "file": "", "said": ""}
    path = draw.choice(files)
    done = mutate(path, draw)
    ended = commands.run(*reader.words(own), log=log, limit=LIMIT, fresh=fresh)
    end = _judge(reader, path, ended, own, _EXPECTED[index])
    return {**one, "kind": end, "mutant": done, "file": path.name, "said": ended.said[-1500:]}


def _copy(reader: Reader, given: Path, own: Path) -> None:
    """Copy the inputs that a reader names, and what has their names but for the suffix."""
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    stems = {Path(name).stem for name in {*_named(reader, own), reader.reads.partition("/")[0]}}
    for path in given.iterdir():
        if path.stem in stems:
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, own / path.name)


def _named(reader: Reader, own: Path) -> set[str]:
    """The inputs that a reader's command names."""
    return {word.relative_to(own).parts[0] for word in reader.words(own) if isinstance(word, Path)}


def _result(reader: Reader, own: Path, ended: commands.Ended) -> Any:
    if ended.status:
        return None
    if reader.makes:
        return content(own / reader.makes, ("model.safetensors", "images.npy", "records.csv"))
    start = ended.said.find("{\n")
    return ended.said[start:] if start >= 0 else ended.said.strip()


def _judge(reader: Reader, path: Path, ended: commands.Ended, own: Path, expected: Any) -> str:
    if ended.hung:
        return "hang"
    if ended.has_traceback:
        return "traceback"
    if ended.status < 0:
        return f"ended by signal {-ended.status}"
    if ended.status:
        error = ended.error
        if not error:
            return "status without an error"
        known = (path.name, *(part.name for part in path.relative_to(own).parents if part.name))
        # of a.csv, the answers of a report, the report
        known += tuple(name for name in _named(reader, own) if Path(name).stem == path.stem)
        if not any(name in error or name in ended.said for name in known):
            return "error that does not name the file"
        return "error" if ended.has_remedy else "error without a remedy"
    if _result(reader, own, ended) == expected:
        return "right result"
    said = any(word in ended.said for word in ("warning", "damaged", "left out", "prepared again", "problem"))
    return "wrong data in silence" if reader.exact and not said else "another result, as the file says"
