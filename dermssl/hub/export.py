"""A backbone as files that timm loads with one line."""

import logging
import os
from pathlib import Path

import torch
from torch import nn

import dermssl
from dermssl.backbones.arguments import CheckpointOptions
from dermssl.backbones.convert import convert
from dermssl.backbones.facts import feature_width, pretrained_cfg
from dermssl.backbones.foreign import is_checkpoint
from dermssl.backbones.identity import ID_FIELD
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE, load_backbone
from dermssl.backbones.save import save_backbone
from dermssl.data.known import KNOWN
from dermssl.documents import read_json
from dermssl.errors import DermsslError
from dermssl.files import cannot_write, sha256_of, write_text
from dermssl.hub.arguments import ExportOptions
from dermssl.hub.card import card
from dermssl.hub.carried import carry
from dermssl.hub.drafts import draft
from dermssl.hub.exported import (
    CARD_FILE,
    PROVENANCE_FILE,
    divide,
    files_of,
    is_export,
    read_config,
    read_export,
    refuse_large,
    write_results,
)
from dermssl.hub.front_matter import check_card
from dermssl.hub.provenance import provenance
from dermssl.hub.record import read_run
from dermssl.hub.verify import verify
from dermssl.methods.registry import METHODS
from dermssl.options import flag, said_of, takes
from dermssl.pretraining.record import RESULTS_FILE
from dermssl.pretraining.run_directory import RunDirectory

LOGGER = logging.getLogger("dermssl")

_DRAFTS = ".dermssl-export-"  # a kill leaves one behind, which the next export removes


@takes(ExportOptions)
def export(
    run: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    options: ExportOptions,
) -> Path:
    """Write a run's backbone, its card and its provenance; nothing is written unless timm has loaded it.

    Args:
        run: a run directory. Reports of evaluations in its ``evaluations`` folder go into the card. Or a checkpoint of
            another program (``.pth``, ``.pth.tar``, ``.pt``, ``.bin``, ``.ckpt``): its backbone is converted, without
            a card.
        folder: new, empty, or an earlier export, whose files are replaced. Its name becomes the model's.
        options: the fields of `ExportOptions`, by keyword.

    Returns:
        ``folder``.

    Raises:
        DermsslError: there is no finished backbone, a weight is not finite, the folder holds something else or
            cannot be written, or timm does not load exactly these tensors.
    """
    run, folder = Path(run), Path(folder)
    if is_checkpoint(run):
        if options.attribution or options.description:
            raise DermsslError(
                "--attribution and --description are for the card, which a converted checkpoint does not have"
            )
        return convert(run, folder, options, license=options.license)
    for name in said_of(CheckpointOptions):
        if getattr(options, name) is not None:
            raise DermsslError(
                f"{flag(name)} is for checkpoints of other programs (.pth, .ckpt ...), and {run} is not one"
            )
    earlier = _claim(run, folder)
    record = read_run(run, options)
    model = load_backbone(run)
    _refuse_nonfinite(run, model)
    cfg = pretrained_cfg(model)
    data = KNOWN.get(str(record["data"]["layout"]))
    kept, more = divide(record)
    try:
        # inside a folder that is there, since it may be a file system of its own, which no file can be renamed into
        beside = folder if folder.is_dir() else folder.parent
        beside.mkdir(parents=True, exist_ok=True)
        with draft(beside, _DRAFTS) as made:
            save_backbone(
                model,
                made,
                mean=cfg["mean"],
                std=cfg["std"],
                image_size=cfg["input_size"][-1],
                provenance={**kept, "feature_width": feature_width(model), "dermssl": dermssl.__version__},
                fit=record["data"].get("fit") or record["settings"].get("fit") or "squash",
                paper=METHODS[record["method"]].citation if record["method"] in METHODS else None,
                tag=f"dermssl_{data.tag}" if data else "dermssl",
                license=record["license"],
            )
            refuse_large(made)
            write_results(made, more, read_config(made / CONFIG_FILE)["dermssl"][ID_FIELD])
            for name in record["figures"]:
                carry(RunDirectory(run).evaluations / name, made / name)
            write_pages(made, folder.resolve().name)  # "." has no name
            _verify(made, run)
            folder.mkdir(exist_ok=True)
            for name in files_of(record):
                os.replace(made / name, folder / name)
            for name in set(earlier) - set(files_of(record)):
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if record["license"] is None:
        LOGGER.warning("the licence of the images is not known: the card says so; name one with --license")
    return folder


def write_pages(folder: Path, name: str) -> None:
    """Write the card and the provenance of the export in ``folder``, from ``config.json`` and ``results.json``.

    Args:
        name: of the model, with or without ``ORG/``.

    Raises:
        DermsslError: the record is damaged; neither page is written.
    """
    config = read_export(folder)
    digest = sha256_of(folder / WEIGHTS_FILE)
    try:
        pages = {CARD_FILE: card(config, name), PROVENANCE_FILE: provenance(config, digest, name.rpartition("/")[2])}
        for text in pages.values():
            text.encode()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DermsslError(
            f"{folder / RESULTS_FILE} or {CONFIG_FILE} is damaged: no card can be written from its record "
            f"({type(error).__name__}: {str(error)!a}); export the run again"
        ) from error
    for file, text in pages.items():
        write_text(folder / file, text)


def _claim(run: Path, folder: Path) -> tuple[str, ...]:
    """Refuse what is not a run, and a folder that holds something else. The files of the export that stands there."""
    if not (run / "backbone").is_dir():
        raise DermsslError(f"{run} is not a run directory with a backbone: {_what_else(run)}")
    if folder.exists() and not folder.is_dir():
        raise DermsslError(f"{folder} is a file; name a folder")
    if not folder.is_dir() or all(path.name.startswith(_DRAFTS) for path in folder.iterdir()):
        return ()
    try:
        config = read_json(folder / CONFIG_FILE, "the configuration of exported weights", {}, remedy="")
    except DermsslError:
        config = None
    if not is_export(config):
        raise DermsslError(f"{folder} holds something that is not an export; name another folder")
    try:
        return files_of(read_export(folder)["dermssl"])
    except DermsslError as error:  # stopped between two files, or damaged: what can be known is replaced
        if "must be a picture" in str(error):
            raise DermsslError(f"{folder} holds something that is not an export ({error})") from error
        return ()


def _what_else(folder: Path) -> str:
    """What a folder is that is no run."""
    if not (folder / WEIGHTS_FILE).exists():
        return "it holds no backbone"
    try:
        config = read_json(folder / CONFIG_FILE, "the configuration of weights", {}, remedy="")
    except DermsslError:
        config = None
    return "it is an export already" if is_export(config) else "it holds weights, and not how they were pretrained"


def _refuse_nonfinite(run: Path, model: nn.Module) -> None:
    broken = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
    if broken:
        raise DermsslError(f"{run}: {len(broken)} tensors hold NaN or infinity ({broken[0]}, ...); train again")


def _verify(draft: Path, run: Path) -> None:
    problems = [*verify([draft])[0].problems, *check_card((draft / CARD_FILE).read_text(encoding="utf-8"))]
    if problems:
        raise DermsslError(
            f"the export of {run} failed its check and was not written: {'; '.join(problems)}; restore its backbone/ "
            "from a copy, or train again"
        )
