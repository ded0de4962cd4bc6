"""``dermssl cam``"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, output_folder, weights_argument
from dermssl.evaluation.arguments import CamOptions
from dermssl.files import refuse_unwritable_folder

if TYPE_CHECKING:
    from dermssl.evaluation.cam import Cam, CamMaps
    from dermssl.reporting.cam_page import CamRow

NOTES = {
    "gradcam": "Grad-CAM: the features at each position of the network's last map, weighted by how much the score "
    "rises with them; what speaks against it is cut off.",
    "cam": "CAM: the score of each position of the network's last map by itself.",
}
NO_CLASS = (
    "Without a classifier the score is the squared length of the pooled features: hot is what makes up the "
    "features, whatever it is. It is not what a diagnosis would rest on."
)
STRETCHED = (
    "Each map is stretched from its own lowest to its own highest value, so colours cannot be compared between "
    'pictures. "Lowest" under a picture says how much there is to stretch: at 95 % of the highest the network sees '
    "hardly any difference between the positions."
)


@click.command()
@weights_argument(nargs=-1, required=True)
@data_argument("images")
@output_folder("Folder for the overlays and the page.")
@options_of(CamOptions)
@json_option("Print one JSON object.")
def command(weights: tuple[str, ...], images: str, output: Path, as_json: bool, **options: Any) -> None:
    """Show where networks look: activation maps of one or several WEIGHTS over a few images.

    WEIGHTS are run directories, exported directories, folders that finetune --output wrote, .safetensors files,
    hf-hub:ORG/NAME, timm:NAME or random:NAME; the last argument is IMAGES: an image file or a data set. A fitted
    folder shows its predicted class or --class; a backbone without classifier shows what makes up its features.
    """
    log_to_terminal()
    refuse_unwritable_folder(output, "--output")
    from dermssl.evaluation.cam import class_activation
    from dermssl.reporting.cam_page import write_cam_page

    cam = class_activation(weights, images, **options)
    notes = [NOTES[cam.method]]
    if not all(any(result.targets) for result in cam.results):
        notes.append(NO_CLASS)
    count = f"{len(cam.images)} images of " if len(cam.images) > 1 else ""
    lead = f"{count}{images}, seen by {', '.join(result.weights for result in cam.results)}."
    page, *overlays = write_cam_page(output, _rows(cam), lead=lead, notes=[*notes, STRETCHED])
    if as_json:
        click.echo(json.dumps(_as_dict(cam, images, page, overlays), indent=2))
    else:
        click.echo(f"{len(overlays)} overlays and {page}")


def _rows(cam: "Cam") -> Iterator["CamRow"]:
    from dermssl.reporting.cam_page import CamRow, Panel

    for i, name in enumerate(cam.images.ids):
        panels = [Panel(result.weights, result.maps[i], _caption(result, i)) for result in cam.results]
        yield CamRow(name, cam.images.labels[i], cam.images.pixels(i), panels)


def _caption(result: "CamMaps", index: int) -> str:
    low, high = float(result.maps[index].min()), float(result.maps[index].max())
    parts = [f"{result.targets[index]}, {result.probabilities[index]:.0%}"] if result.targets[index] else []
    parts.append(f"lowest {low / high:.0%}" if high > 0 else "nothing speaks for it")
    return "; ".join(parts)


def _as_dict(cam: "Cam", images: str, page: Path, overlays: list[Path]) -> dict[str, Any]:
    files = iter(overlays)
    listed = []
    for i, name in enumerate(cam.images.ids):
        for result in cam.results:
            chance = float(result.probabilities[i])
            listed.append(
                {
                    "image": name,
                    "label": cam.images.labels[i] or None,
                    "weights": result.weights,
                    "class": result.targets[i] or None,
                    "probability": None if math.isnan(chance) else chance,
                    "image_size": result.image_size,
                    "file": str(next(files)),
                }
            )
    return {"data": images, "method": cam.method, "page": str(page), "overlays": listed}
