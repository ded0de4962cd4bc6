"""The commands that are killed and starved: what they are given, what they make, and how two results compare."""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BACKBONE = "test_efficientnet"
FOLDS = ("--folds", "2", "--k", "3", "--device", "cpu")
SMALL = ("--image-size", "32", "--device", "cpu")
PRETRAIN = ("--backbone", BACKBONE, "--batch-size", "16", "--queue-size", "32", "--precision", "fp32", *SMALL)
# Where and when, and how long it took: all that two runs of one command may differ in.
_MOMENTS = (
    "seconds", "images_per_second", "started", "finished", "date", "output", "path", "hardware", "source", "run",
    "weights", "data", "created", "machine", "made", "minutes", "hours", "eval_data", "pretrain_data",
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A command to be killed.

    Attributes:
        name: of the command.
        words: its words, given the folder of what it needs and that of what it makes.
        makes: the name of its output in that folder.
        exact: the files that must be equal to the bit, as endings of their paths.
        share: of all kills, relative to the others.
    """

    name: str
    words: Callable[[Path, Path], tuple[str | Path, ...]]
    makes: str
    exact: tuple[str, ...]
    share: int = 1


def prepare_inputs(folder: Path, run: Callable[..., None]) -> None:
    """Draw images, prepare a cache, pretrain for an epoch and export: what the scenes start from."""
    from dermssl.data.synthetic import write_synthetic

    images = write_synthetic(folder / "images", images=42, size=40)
    run("prepare", images, "--output", folder / "cache", "--size", "32")
    run("pretrain", folder / "cache", "--output", folder / "run", "--epochs", "1", *PRETRAIN)
    (folder / "run" / "evaluations").mkdir()
    run(
        "eval-knn", folder / "run", folder / "cache", *FOLDS, "--json", into=folder / "run" / "evaluations" / "knn.json"
    )
    run("export", folder / "run", folder / "exported")


SCENES = (
    Scene(
        "prepare",
        lambda given, own: ("prepare", given / "images", "--output", own / "cache", "--size", "32", "--workers", "1"),
        "cache",
        ("images.npy", "records.csv", "problems.csv", "manifest.json"),
        4,
    ),
    Scene(
        "pretrain",
        lambda given, own: ("pretrain", given / "cache", "--output", own / "run", "--epochs", "6", *PRETRAIN,
                            "--checkpoint-every", "0"),
        "run",
        ("model.safetensors", "checkpoint.pt"),
        5,
    ),
    Scene(
        "finetune --output",
        lambda given, own: (
            "finetune", given / "run", given / "cache", "--test", given / "cache", "--epochs", "2",
            "--output", own / "fitted", "--precision", "fp32", *SMALL,
        ),
        "fitted",
        ("model.safetensors",),
        3,
    ),
    Scene("export", lambda given, own: ("export", given / "run", own / "exported"), "exported",
          ("model.safetensors", "config.json"), 1),
    Scene(
        "reproduce",
        lambda given, own: (
            "reproduce", "--pretrain-data", given / "cache", "--eval-data", given / "cache", "--output", own / "paper",
            "--methods", "random,rotinstdisc", "--tables", "1", "--epochs", "2", "--backbone", BACKBONE,
            "--batch-size", "16", "--folds", "2", "--k", "3", "--precision", "fp32", *SMALL,
        ),
        "paper",
        ("model.safetensors", "predictions.csv"),
        3,
    ),
    Scene(
        "embed",
        lambda given, own: (
            "embed", given / "run", given / "cache", "--output", own / "out" / "features.npz", "--device", "cpu",
        ),
        "out",
        ("features.npz",),
        0,
    ),
    Scene("eval-knn", lambda given, own: ("eval-knn", given / "run", given / "cache", *FOLDS, "--predictions",
          own / "out" / "p.csv", "--page", own / "out" / "page.html"), "out", ("p.csv",), 0),
    Scene("fewshot", lambda given, own: ("fewshot", given / "run", given / "cache", "--freeze", "--fractions", "0.5,1",
          "--folds", "2", *SMALL, "--output", own / "few"), "few", (".csv",), 0),
    Scene("cam", lambda given, own: ("cam", given / "run", given / "images", "--limit", "2", "--output", own / "maps",
          "--device", "cpu"), "maps", (".png",), 0),
    Scene("project", lambda given, own: ("project", given / "run", given / "cache", "--perplexity", "5", "--output",
          own / "plane", "--device", "cpu"), "plane", (".csv",), 0),
    Scene("leakage", lambda given, own: ("leakage", given / "images", "--output", own / "pairs", "--device", "cpu"),
          "pairs", (".csv",), 0),
)  # fmt: skip


def content(folder: Path, exact: tuple[str, ...]) -> dict[str, Any]:
    """The names of the files a command made, and what must be equal in each: its bytes, or its values but moments."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name.endswith(".lock"):
            continue
        if name.endswith("checkpoint.pt") and "checkpoint.pt" in exact:
            found[name] = _state(path)
        elif name.endswith(exact):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text(encoding="utf-8-sig")))
        elif path.suffix == ".jsonl":
            found[name] = [_timeless(json.loads(line)) for line in path.read_text(encoding="utf-8-sig").splitlines()]
        else:
            found[name] = True
    return found


def _state(path: Path) -> str:
    """The hash of a checkpoint's tensors and numbers; the file itself is a zip with names and padding."""
    import torch

    state, total = torch.load(path, weights_only=True), hashlib.sha256()
    waiting = [("", state)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}", item) for key, item in value.items() if key not in _MOMENTS]
        elif isinstance(value, list | tuple):
            waiting += [(f"{name}.{index}", item) for index, item in enumerate(value)]
        else:
            shown = value.contiguous().numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value).encode()
            total.update(name.encode() + shown)
    return total.hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _MOMENTS}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def torn(folder: Path) -> list[str]:
    """Files under their final names that are not whole: none may be there, whenever a command was killed."""
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") or part == "unfinished" for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not _is_whole(path):
            found.append(path.relative_to(folder).as_posix())
    return found


def _is_whole(path: Path) -> bool:
    import numpy as np
    import torch
    from safetensors import safe_open

    try:
        match path.suffix:
            case ".json":
                json.loads(path.read_text())
            case ".jsonl":  # a kill may cut the last line, which readers leave out
                [json.loads(line) for line in path.read_text().split("\n")[:-1]]
            case ".pt":
                torch.load(path, weights_only=True)
            case ".safetensors":
                with safe_open(path, "pt") as file:
                    [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 - not a dict
            case ".npy" | ".npz":
                np.load(path, allow_pickle=False)
            case ".csv":
                return len({len(row) for row in csv.reader(path.open(newline=""))}) <= 1
            case ".html":
                return path.read_text().rstrip().endswith("</html>")
    except Exception:
        return False
    return True


def leftovers(folder: Path) -> list[str]:
    """What killed commands left and the next one should have cleaned, anywhere under ``folder``."""
    signs = (".part", ".dermssl-", "unfinished", ".old-", "dermssl-push-")
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if any(sign in path.name for sign in signs)
    ]
