"""``dermssl reproduce``: its options are the fields of ``Parts`` and ``Settings``."""

import sys
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import NAME, json_option, options_of, output_folder
from dermssl.paper.settings import Parts, Settings


@click.command()
@click.option("--pretrain-data", required=True, type=NAME, metavar="DATA", help="Unlabelled images to pretrain on.")
@click.option("--eval-data", required=True, type=NAME, metavar="DATA", help="Labelled images.")
@output_folder("Folder for all results.")
@options_of(Parts, only_given=True)
@options_of(Settings, only_given=True)
@json_option("Print the report as one JSON object.")
def command(as_json: bool, output: Path, **options: Any) -> None:
    """Reproduce the paper: all methods under one budget, Tables 1 to 5 and Figures 4 to 6, its numbers beside ours.

    Stop or kill it at any time; the same command continues. Started several times on the same --output, or by torchrun,
    the processes share the work. Exits with 1 if a part failed; the next start tries it again.
    """
    log_to_terminal()
    import dermssl
    from dermssl.distributed import is_main

    given = {name: value for name, value in options.items() if value is not None}
    report = dermssl.reproduce(output=output, progress=True, **given)
    if is_main():
        click.echo(report.to_json() if as_json else report.to_markdown())
    if is_main() and not as_json:
        click.echo(f"\nReport: {report.output / 'report.html'}")
    if report.failed:
        click.echo(f"Error: {len(report.failed)} cells failed: {', '.join(report.failed)}", err=True)
        sys.exit(1)
