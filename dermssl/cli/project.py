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
    """Plot frozen features in two dimensions (t-SNE), coloured by class, and measure how pure their neighbourhoods are.

    DATA is a set of labelled images.
    """
    log_to_terminal()
    refuse_unwritable_folder(output, "--output")
    from dermssl.evaluation.projection import project
    from dermssl.reporting.pages import write_page

    result = project(weights, data, progress=True, **options)
    page, figure, points = map(str, write_page(result, output / "projection.html"))
    if as_json:
        click.echo(json.dumps({**result.to_dict(), "page": page, "figure": figure, "points": points}, indent=2))
    else:
        click.echo(f"{result.to_markdown()}\n\n{page}, {figure}, {points}")
