"""``dermssl export``"""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import PLACE, json_option, options_of
from dermssl.hub.arguments import ExportOptions


@click.command()
@click.argument("run", type=PLACE)
@click.argument("folder", metavar="DIR", type=PLACE)
@options_of(ExportOptions)
@json_option("Print one JSON object.")
def command(run: Path, folder: Path, as_json: bool, **options: Any) -> None:
    """Write the backbone of RUN to DIR: weights, configuration, model card and provenance.

    It is written only once timm, in a process of its own, has loaded every tensor unchanged. Evaluations in
    RUN/evaluations (what `dermssl eval-knn --json` prints) go into the card.

    RUN may also be a checkpoint of another program (.pth, .pth.tar, .pt, .bin, .ckpt), by torchvision, timm, MoCo,
    DINO, SimCLR, lightly or solo-learn: with --backbone, its weights are converted. Pickled objects are not loaded.
    """
    log_to_terminal()
    from dermssl.hub.export import export

    exported = str(export(run, folder, **options))
    load = f"local-dir:{folder}"
    if as_json:
        click.echo(json.dumps({"folder": exported, "model": load}))
        return
    click.echo(f"Exported: {exported}")
    click.echo(f'Load it:  timm.create_model("{load}", pretrained=True, num_classes=7)')
    if options["backbone"] is None:
        click.echo(f"Next:     dermssl push {shlex.quote(str(folder))} ORG/NAME --dry-run")
