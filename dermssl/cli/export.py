"""``dermssl export``"""

from pathlib import Path

import click

from dermssl.cli.logs import log_to_terminal


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--license", metavar="ID", help="Licence of the weights.  [default: that of the images, if known]")
@click.option("--attribution", metavar="TEXT", multiple=True, help="Source of the images; may be given several times.")
def command(run: Path, folder: Path, license: str | None, attribution: tuple[str, ...]) -> None:
    """Write the backbone of RUN to DIR: weights, configuration, model card and provenance.

    It is written only once timm, in a process of its own, has loaded every tensor unchanged. Evaluations in
    RUN/evaluations (what `dermssl eval-knn --json` prints) go into the card.
    """
    log_to_terminal()
    from dermssl.hub.export import export

    click.echo(f"Exported: {export(run, folder, license=license, attribution=attribution)}")
    click.echo(f'Load it:  timm.create_model("local-dir:{folder}", pretrained=True, num_classes=7)')
    click.echo(f"Next:     dermssl push {folder} ORG/NAME --dry-run")
