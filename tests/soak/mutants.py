"""Damaged files through every reader: an error that names the file, or a right result; no traceback, no hang."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.soak import commands
from tests.soak.mutate import mutate
from tests.soak.scenes import BACKBONE, FOLDS, PRETRAIN, SMALL, content

LIMIT = 40  # seconds for a command of one
_KNN = (*FOLDS, "--json")


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
    Reader("a.json", lambda g: ("compare", g / "a.json", g / "b.json", "--json"), exact=True),
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
    (given / "table").mkdir()
    for path in images.glob("*"):
        shutil.copy(path, given / "table")
    rows = [f"{path.name},{'ab'[index % 2]},g{index // 2}" for index, path in enumerate(sorted(images.glob("*")))]
    (given / "table" / "table.csv").write_text("image,label,group\n" + "\n".join(rows) + "\n")


def try_all(given: Path, folder: Path, count: int, draw: random.Random, goes_on: Callable[[], bool]) -> dict[str, Any]:
    """Try ``count`` mutants, the readers in turn, or fewer where ``goes_on`` says no.

    Returns:
        ``mutants``, how they ended, and the faults: tracebacks, hangs, errors that do not name the file or say what
        to do, and other results than the whole file's in silence, where a checksum or a new making promises it.
    """
    ends: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    readers: dict[str, int] = {}
    expected: dict[int, Any] = {}
    log, own = folder / "log.txt", folder / "mutant"
    number = 0
    while number < count and goes_on():
        index = number % len(READERS)
        reader = READERS[index]
        if index not in expected:
            _copy(given, own)
            expected[index] = _result(reader, own, commands.run(*reader.words(own), log=log, limit=LIMIT))
        _copy(given, own)
        files = sorted(own.glob(reader.reads))
        if not files:
            faults.append({"reader": reader.reads, "kind": "no input", "mutant": "", "said": ""})
            number += 1
            continue
        path = draw.choice(files)
        done = mutate(path, draw)
        ended = commands.run(*reader.words(own), log=log, limit=LIMIT)
        end = _judge(reader, path, ended, own, expected[index])
        ends[end] += 1
        number += 1
        name = f"{reader.words(Path('.'))[0]}: {reader.reads}"
        readers[name] = readers.get(name, 0) + 1
        if end not in ("error", "right result", "another result, as the file says"):
            faults.append({"reader": name, "kind": end, "mutant": done, "file": path.name, "said": ended.said[-1500:]})
    return {"mutants": number, "ends": dict(ends), "readers": readers, "faults": faults}


def _copy(given: Path, own: Path) -> None:
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(given, own, symlinks=True)


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
        if not any(name in error or name in ended.said for name in known):
            return "error that does not name the file"
        return "error" if ended.has_remedy else "error without a remedy"
    if _result(reader, own, ended) == expected:
        return "right result"
    said = any(word in ended.said for word in ("warning", "damaged", "left out", "prepared again", "problem"))
    return "wrong data in silence" if reader.exact and not said else "another result, as the file says"
