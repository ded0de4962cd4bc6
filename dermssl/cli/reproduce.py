"""``dermssl reproduce``: its options are those of the run and the fields of ``Settings``."""

import sys
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import TEXT, Several, json_option, options_of, output_folder
from dermssl.paper.numbers import ROWS
from dermssl.paper.settings import Settings


@click.command()
@click.option("--pretrain-data", required=True, type=TEXT, metavar="DATA", help="Unlabelled images to pretrain on.")
@click.option("--eval-data", required=True, type=TEXT, metavar="DATA", help="Labelled images.")
@output_folder("Folder for all results.")
@click.option("--methods", metavar="A,B,...", type=Several(str), help=f"Rows: {','.join(ROWS)}.  [default: all]")
@click.option("--tables", metavar="1,2,...", type=Several(int), help="Which of 1 to 5.  [default: all]")
@click.option(
    "--figures",
    metavar="4,5,6",
    type=Several(int),
    help="Which of 4 to 6.  [default: all; none if --tables is given]",
)
@options_of(Settings, only_given=True)
@click.option("--device", default="auto", show_default=True, help="Where to compute: auto, cpu, cuda or cuda:N.")
@json_option("Print the report as one JSON object.")
def command(as_json: bool, output: Path, **options: Any) -> None:
    """Reproduce the paper: all methods under one budget, Tables 1 to 5 and Figures 4 to 6, its numbers beside ours.

    Stop or kill it at any time; the same command goes on. Started several times on the same --output, or by torchrun,
    the processes share the work. Exits with 1 if a part failed; that is tried again by the next start.
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
