"""``dermssl embed``"""

import json
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, weights_argument
from dermssl.evaluation.arguments import EmbedOptions
from dermssl.privacy import handed_on


@click.command()
@weights_argument()
@data_argument()
@options_of(EmbedOptions)
@json_option("Print one JSON object instead of text.")
def command(weights: str, data: str, as_json: bool, **options: Any) -> None:
    """Write the features of every image to a file, and, with --neighbours, the nearest other images of each.

    DATA is a set of images, labelled or not.
    """
    log_to_terminal()
    from dermssl.evaluation.embed import embed

    result = embed(weights, data, progress=True, **options)
    count, width = result.features.shape
    labelled, groups = int((result.labels != "").sum()), len(set(result.groups.tolist()) - {""})
    if as_json:
        found = {
            "output": str(options["output"]),
            "images": count,
            "width": width,
            "labelled": labelled,
            "groups": groups,
            "neighbours": options["neighbours"],
            "protocol": handed_on(result.protocol),
        }
        click.echo(json.dumps(found, indent=2))
        return
    more = f", {options['neighbours']} neighbours each" if options["neighbours"] else ""
    click.echo(
        f"{options['output']}: {count:,} images, {width:,} features each ({result.protocol['dtype']}){more}; "
        f"{labelled:,} with a label, {groups:,} lesions or patients"
    )
