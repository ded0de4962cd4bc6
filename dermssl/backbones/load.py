"""The WEIGHTS argument: from its spelling to a timm model."""

import json
import shlex
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from dermssl.backbones.arguments import SPELLINGS
from dermssl.backbones.bounded import at_most
from dermssl.backbones.create import create_backbone
from dermssl.backbones.described import Described, read_described
from dermssl.backbones.download import download, explain
from dermssl.backbones.facts import pretrained_cfg
from dermssl.backbones.foreign import is_checkpoint
from dermssl.backbones.tensors import load_tensors, refuse_misfit
from dermssl.errors import DermsslError
from dermssl.files import refuse_way_out, sha256_of
from dermssl.privacy import no_open_token
from dermssl.regular import unfit_name

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
# what a run directory holds of interest here; its other names stand in pretraining/run_directory.py
BACKBONE_FOLDER = "backbone"
CHECKPOINT_FILE = "checkpoint.pt"
# spellings of weights that are not paths
_ELSEWHERE = ("hf-hub:", "timm:", "random:", "module:")


def load_backbone(weights: str | Path, *, seed: int = 0) -> nn.Module:
    """The timm model that ``weights`` names, without a classifier (``num_classes=0``), in eval mode on the CPU.

    Args:
        weights: a run directory, an exported directory, a ``.safetensors`` file, ``hf-hub:org/name[@revision]``,
            ``timm:name`` or ``random:name``.
        seed: of the weights of ``random:name``; the global random state is left as it was.

    Raises:
        DermsslError: there are no such weights, or a tensor does not fit the architecture they name.
    """
    spelling = str(weights)
    kind, _, name = spelling.partition(":")
    with torch.random.fork_rng(devices=[]):  # timm initialises what is then overwritten
        if kind == "random" and name:
            return _named(spelling, name, seed).eval()
        if kind == "timm" and name:
            return _published_by_timm(spelling, name).eval()
        return _from_files(spelling, *find_files(spelling)).eval()


def outline(weights: str) -> nn.Module:
    """The architecture of ``timm:NAME`` or ``random:NAME`` on the meta device: shapes without values, no download.

    Raises:
        DermsslError: there are no such weights.
    """
    kind, _, name = weights.partition(":")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        if kind == "timm" and name:
            _refuse_unpublished(weights, name)
            return timm.create_model(name, pretrained=False, num_classes=0).eval()
        if kind == "random" and name:
            return _named(weights, name, 0).eval()
    raise DermsslError(f"weights {weights!r}: not found; give {SPELLINGS}")


def find_files(weights: str | Path) -> tuple[Path, Path]:
    """``config.json`` and the weights file of a run, an export, a file or ``hf-hub:...``, fetched where they are far.

    Raises:
        DermsslError: there are no such weights. A missing ``config.json`` is no fault here.
    """
    spelling = str(weights)
    return _files_of_hub(spelling) if spelling.startswith("hf-hub:") else _files_on_disk(spelling)


def read_fitting(spelling: str, config: Path, file: Path) -> Described:
    """What two files say of weights, where the network that one asks for is the one that the other holds.

    Shapes alone are made, so that what does not fit is refused before it takes memory.

    Args:
        spelling: of the weights, for errors.
        config: ``config.json``.
        file: the weights.

    Raises:
        DermsslError: a file is damaged, or the network is another one, or larger than any.
    """
    described = read_described(spelling, config, file)
    with torch.random.fork_rng(devices=[]), _bounded(spelling, described):
        with torch.device("meta"):
            outline = _build(spelling, described)
        refuse_misfit(outline, described.shapes, spelling)
    return described


def is_path(weights: str) -> bool:
    """Whether a spelling of weights is a place on this machine."""
    return not weights.startswith(_ELSEWHERE)


def weights_folder(path: str | Path) -> Path | None:
    """The folder with ``model.safetensors`` and ``config.json`` that a run or exported directory stands for."""
    path = Path(path)
    if not path.is_dir():
        return None
    return path / BACKBONE_FOLDER if (path / BACKBONE_FOLDER).is_dir() else path


def weights_sha256(weights: str | Path) -> str:
    """SHA-256 of the file of weights that lies on this machine; "" where there is none."""
    if not is_path(str(weights)):
        return ""
    folder = weights_folder(weights)
    file = folder / WEIGHTS_FILE if folder else Path(weights)
    return sha256_of(file) if file.is_file() else ""


def _named(spelling: str, name: str, seed: int) -> nn.Module:
    try:
        return create_backbone(name, seed=seed)
    except DermsslError as error:  # the message is about the option --backbone
        raise DermsslError(f"weights {spelling}: {str(error).partition(': ')[2]}") from error


def _refuse_unpublished(spelling: str, name: str) -> None:
    """Raises DermsslError unless timm publishes weights of this name."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        _named(spelling, architecture, 0)  # raises, with close names
    tags = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tags:
        known = f"it publishes {', '.join(tags)}" if tags else "it publishes none for this architecture"
        raise DermsslError(f"weights {spelling}: timm has no such weights; {known}")
    if not tags:
        raise DermsslError(f"weights {spelling}: timm publishes no weights for {architecture}; use random:{name}")


def _published_by_timm(spelling: str, name: str) -> nn.Module:
    _refuse_unpublished(spelling, name)
    try:
        with no_open_token():
            return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the network, the Hub and timm raise many kinds
        raise DermsslError(f"weights {spelling}: cannot be downloaded: {explain(error)}") from error


def _files_of_hub(spelling: str) -> tuple[Path, Path]:
    repo, _, revision = spelling.removeprefix("hf-hub:").partition("@")
    config = download(repo, CONFIG_FILE, revision or None, spelling)
    file = download(repo, WEIGHTS_FILE, revision or None, spelling)
    return config, file


def _files_on_disk(spelling: str) -> tuple[Path, Path]:
    why = unfit_name(spelling)
    if why is not None:
        raise DermsslError(f"weights {spelling[:60]!r}...: {why}")
    path = Path(spelling)
    if path.suffix == ".safetensors" and path.is_file():
        return path.parent / CONFIG_FILE, path
    folder = weights_folder(path)
    if is_checkpoint(path):
        raise DermsslError(
            f"weights {spelling}: a checkpoint, which does not name its architecture and may hold pickled objects; "
            f"convert it once with `dermssl export {shlex.quote(spelling)} DIR --backbone NAME`, then give DIR"
        )
    if path.is_file():
        raise DermsslError(f"weights {spelling}: is not a file of weights; give {SPELLINGS}")
    if folder is None:
        raise DermsslError(f"weights {spelling!r}: not found; give {SPELLINGS}")
    if not (folder / WEIGHTS_FILE).is_file():
        unfinished = folder == path and (path / CHECKPOINT_FILE).exists()
        hint = "the run has not written its backbone yet; let it finish" if unfinished else f"give {SPELLINGS}"
        raise DermsslError(f"weights {spelling}: there is no {WEIGHTS_FILE} in {folder}; {hint}")
    if folder != path:  # a run: what its backbone is, an export hands on
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            refuse_way_out(folder / name, path)
    return folder / CONFIG_FILE, folder / WEIGHTS_FILE


def _from_files(spelling: str, config: Path, file: Path) -> nn.Module:
    """The model that ``config`` describes, with every tensor from ``file``."""
    described = read_fitting(spelling, config, file)
    with _bounded(spelling, described):
        model = _build(spelling, described)
    try:
        tensors = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise DermsslError(f"weights {spelling}: {file.name} cannot be read: {error}; export again") from error
    load_tensors(model, tensors, spelling)
    return model


def _bounded(spelling: str, described: Described) -> AbstractContextManager[None]:
    """Refuse, while it is built, a network of far more parts than there are tensors."""
    count = len(described.shapes)
    return at_most(
        count,
        f"weights {spelling}: {CONFIG_FILE} asks for a far larger network than the {count:,} tensors of the weights "
        "are; it belongs to other weights, or is damaged: export them again",
    )


def _build(spelling: str, described: Described) -> nn.Module:
    """The architecture of a ``config.json``, read by timm itself, with random weights."""
    config = described.config
    try:
        if not timm.is_model(config["architecture"]):
            _named(spelling, config["architecture"], 0)  # raises, with close names
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
            model = timm.create_model(f"local-dir:{folder}", pretrained=False, num_classes=0)
    except DermsslError:
        raise
    except Exception as error:
        raise DermsslError(
            f"weights {spelling}: {CONFIG_FILE} cannot be used by timm ({type(error).__name__}: {error}); restore it, "
            "or export the weights again"
        ) from error
    for key in ("file", "source"):  # they name the temporary folder
        pretrained_cfg(model).pop(key, None)
    return model
