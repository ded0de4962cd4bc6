"""timm's spellings of data sets: ``hfds/ORG/NAME``, ``wds/FOLDER``, ``torch/NAME``, ``tfds/NAME``."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermssl.errors import DermsslError
from dermssl.privacy import masked, no_open_token

LOGGER = logging.getLogger("dermssl")

_PREFIXES = ("hfds", "hfids", "wds", "tfds", "torch")
# What is fetched of a repository: images, what holds images, tables.
_FETCHED = tuple(
    "jpg jpeg png bmp tif tiff webp parquet zip tar tgz gz npz hdf5 h5 csv tsv tab txt xlsx json jsonl".split()  # noqa: SIM905
)


def prefix_of(data: str) -> str | None:
    """The prefix of a spelled data set; None for a path, also for one of a folder that is called like a prefix."""
    prefix, slash, rest = data.partition("/")
    prefix = prefix.lower()
    return prefix if slash and rest and prefix in _PREFIXES and not Path(data).exists() else None


def located(data: str) -> Path:
    """The folder or file of ``hfds/...`` or ``wds/...``: as it lies on the disk, or fetched from the Hub.

    Raises:
        DermsslError: there is no such data set, or its kind cannot be read; says what to do.
    """
    prefix, rest = prefix_of(data), data.partition("/")[2]
    local = _local(rest)
    if prefix in ("hfds", "wds", "tfds") and local is not None:
        return local
    if prefix == "hfids":
        raise DermsslError(f"{data} is a stream, where images are read in any order: write hfds/{rest}")
    if prefix == "wds":
        raise DermsslError(f"{data}: there is no {rest}; give the folder of the .tar shards, or one of them")
    if prefix == "tfds":
        return _prepared(data, rest)
    return _fetched(data, rest)


def torch_dataset(data: str) -> tuple[Any, list[tuple[str, int]]]:
    """The training and test parts of ``torch/NAME:FOLDER``, by timm, joined; and the name and length of each.

    Raises:
        DermsslError: timm knows no such data set, or it does not lie in the folder.
    """
    from timm.data import create_dataset  # timm brings torch, which reading a folder does without
    from torch.utils.data import ConcatDataset

    name, _, root = data.partition(":")
    if not root:
        raise DermsslError(f"{data}: name the folder too: {name}:FOLDER, where torchvision has unpacked it")
    if not Path(root).expanduser().is_dir():
        raise DermsslError(f"{data}: there is no folder {root}")
    parts = []
    for split in ("train", "validation"):
        try:
            part = create_dataset(name, root=str(Path(root).expanduser()), split=split, download=False)
        except (RuntimeError, AssertionError, OSError, ValueError, TypeError) as error:
            raise DermsslError(f"{data}: timm cannot open it ({error})") from error
        parts.append(("train" if split == "train" else "test", part))
        if name.lower().endswith(("/image_folder", "/folder")) and not _has_splits(Path(root).expanduser()):
            return part, []
    return _Joined([part for _, part in parts], ConcatDataset), [(split, len(part)) for split, part in parts]


class _Joined:
    """Parts one after the other, with the classes and targets of all."""

    def __init__(self, parts: Sequence[Any], concat: Any) -> None:
        self._all = concat(parts)
        self.classes = getattr(parts[0], "classes", None)
        targets = [getattr(part, "targets", None) for part in parts]
        known = [list(map(int, some)) for some in targets if some is not None]
        self.targets = [target for some in known for target in some] if len(known) == len(parts) else None

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> Any:
        return self._all[index]


def _has_splits(root: Path) -> bool:
    return (root / "train").is_dir()


def _local(rest: str) -> Path | None:
    """``wds//data/x`` is an absolute path, of which a ``Path`` keeps one slash."""
    paths = (Path(rest).expanduser(), Path("/" + rest))
    return next((path for path in paths if path.exists()), None)


def _prepared(data: str, rest: str) -> Path:
    """The newest version of a data set that TensorFlow Datasets has prepared, where it keeps them."""
    where = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets")
    versions = [path.parent for path in (where / rest).rglob("dataset_info.json")]
    if not versions:
        raise DermsslError(
            f"{data}: there is no {where / rest}; prepare it once by tensorflow_datasets.load({rest!r}), or give its "
            "folder: tfds/FOLDER"
        )
    return max(versions, key=lambda path: [int(part) if part.isdigit() else 0 for part in path.name.split(".")])


def _fetched(data: str, rest: str) -> Path:
    from huggingface_hub import get_token, snapshot_download  # slow to import, and of no use to a folder
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, _, revision = rest.partition("@")
    patterns = [f"*.{suffix}" for suffix in _FETCHED] + [f"*.{suffix.upper()}" for suffix in _FETCHED]
    try:
        with no_open_token():
            folder = snapshot_download(
                repository,
                repo_type="dataset",
                revision=revision or None,
                allow_patterns=patterns,
                library_name="dermssl",
            )
    except Exception as error:  # httpx's errors and the Hub's have no common base
        missing = isinstance(error, LocalEntryNotFoundError)
        what = "no connection to the Hub, and it is not in its cache" if missing else "the Hub does not provide it"
        why = masked((str(error).strip().splitlines() or [type(error).__name__])[0], get_token())
        raise DermsslError(f"{data}: {what} ({why}); check its name and the network, and try again") from error
    LOGGER.info("%s: fetched to %s", data, folder)
    return Path(folder)
