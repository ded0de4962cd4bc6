"""``dermssl export``"""

import json
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--license", metavar="ID", help="Licence of the weights.  [default: that of the images, if known]")
@click.option("--attribution", metavar="TEXT", multiple=True, help="Source of the images; may be given several times.")
@click.option("--description", metavar="TEXT", help="What the images are, for the card: which sets, how they were cut.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: Path, folder: Path, as_json: bool, **options: Any) -> None:
    """Write the backbone of RUN to DIR: weights, configuration, model card and provenance.

    It is written only once timm, in a process of its own, has loaded every tensor unchanged. Evaluations in
    RUN/evaluations (what `dermssl eval-knn --json` prints) go into the card.
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
    click.echo(f"Next:     dermssl push {folder} ORG/NAME --dry-run")
