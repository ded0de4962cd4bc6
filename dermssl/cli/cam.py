"""``dermssl cam``"""

import json
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, output_folder, weights_argument
from dermssl.evaluation.arguments import CamOptions
from dermssl.files import refuse_unwritable_folder


@click.command()
@weights_argument(nargs=-1, required=True)
@data_argument("images")
@output_folder("Folder for the overlays and the page.")
@options_of(CamOptions)
@json_option("Print one JSON object.")
def command(weights: tuple[str, ...], images: str, output: Path, as_json: bool, **options: Any) -> None:
    """Show where networks look: activation maps of one or several WEIGHTS over a few images.

    The last argument is IMAGES: an image file or a data set. Weights that finetune --output wrote show the evidence
    for the class they predict, or for --class; a backbone without a classifier shows what its features respond to.
    """
    log_to_terminal()
    refuse_unwritable_folder(output, "--output")
    from dermssl.evaluation.cam import class_activation
    from dermssl.reporting.pages import write_page

    cam = class_activation(weights, images, **options)
    page, *overlays = write_page(cam, output / "cam.html")
    if as_json:
        told = cam.to_dict()
        shown = [{**entry, "file": str(file)} for entry, file in zip(told["overlays"], overlays, strict=True)]
        click.echo(json.dumps({**told, "page": str(page), "overlays": shown}, indent=2))
    else:
        click.echo(f"{len(overlays)} overlays and {page}")
