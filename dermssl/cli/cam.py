"""``dermssl cam``"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, output_folder, weights_argument
from dermssl.evaluation.arguments import CamOptions
from dermssl.files import refuse_unwritable_folder
from dermssl.privacy import spoken, told_apart

if TYPE_CHECKING:
    from dermssl.evaluation.cam import Cam


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
        click.echo(json.dumps(_as_dict(cam, images, page, overlays), indent=2))
    else:
        click.echo(f"{len(overlays)} overlays and {page}")


def _as_dict(cam: "Cam", images: str, page: Path, overlays: list[Path]) -> dict[str, Any]:
    files = iter(overlays)
    listed, weights = [], told_apart([result.weights for result in cam.results])
    for i, name in enumerate(cam.images.ids):
        for name_of_weights, result in zip(weights, cam.results, strict=True):
            chance = float(result.probabilities[i])
            listed.append(
                {
                    "image": name,
                    "label": cam.images.labels[i] or None,
                    "weights": name_of_weights,
                    "class": result.targets[i] or None,
                    "probability": None if math.isnan(chance) else chance,
                    "image_size": result.image_size,
                    "file": str(next(files)),
                }
            )
    return {"data": spoken(images), "method": cam.method, "page": str(page), "overlays": listed}
