"""``dermssl project``"""

import json
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, output_folder, weights_argument
from dermssl.evaluation.arguments import ProjectOptions
from dermssl.files import refuse_unwritable_folder


@click.command()
@weights_argument()
@data_argument()
@output_folder("Folder for page, figure and points.")
@options_of(ProjectOptions)
@json_option("Print one JSON object instead of the table.")
def command(weights: str, data: str, output: Path, as_json: bool, **options: Any) -> None:
    """Draw frozen features in the plane (t-SNE), coloured by class, and count how pure their neighbourhoods are.

    WEIGHTS is a run directory, an exported directory, a .safetensors file, hf-hub:ORG/NAME, timm:NAME or
    random:NAME. DATA is a set of labelled images.
    """
    log_to_terminal()
    refuse_unwritable_folder(output, "--output")
    from dermssl.evaluation.projection import project
    from dermssl.reporting.projection_page import write_projection_page

    result = project(weights, data, progress=True, **options)
    settings, overall = result.protocol, result.overall
    header, rows = result.table()
    files = write_projection_page(
        output,
        result.points,
        result.labels,
        result.classes,
        lead=f"{result.weights} on {settings['images']:,} images of {result.data}: of the {settings['k']} nearest "
        f"neighbours of an image, {overall['purity']:.1%} are of its class; by chance it would be "
        f"{overall['chance']:.1%}.",
        caption=f"t-SNE of the pooled features (cosine), perplexity {settings['perplexity']:g}, seed "
        f"{settings['seed']}, network input {settings['image_size']} px. Near points are alike; distances between "
        "groups, their sizes and the axes mean nothing.",
        header=header,
        rows=rows,
        table_caption=f"Share of the {settings['k']} nearest neighbours that are of the same class",
        notes=[
            "Purity: neighbours among the features themselves, by cosine. By chance: the share of the class among the "
            "images that could be neighbours. In the plane: neighbours in the figure above. Images of the same lesion "
            "do not count as neighbours."
        ],
        points_csv=result.to_csv(),
    )
    page, figure, points = map(str, files)
    if as_json:
        click.echo(json.dumps({**result.to_dict(), "page": page, "figure": figure, "points": points}, indent=2))
    else:
        click.echo(f"{result.to_markdown()}\n\n{page}, {figure}, {points}")
