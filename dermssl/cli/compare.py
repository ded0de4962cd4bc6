"""``dermssl compare``"""

from pathlib import Path

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import PLACE, json_option
from dermssl.errors import DermsslError


@click.command()
@click.argument("report_a", metavar="A", type=PLACE)
@click.argument("report_b", metavar="B", type=PLACE)
@json_option("Print one JSON object instead of the table.")
def command(report_a: Path, report_b: Path, as_json: bool) -> None:
    """Say whether B is better than A on the same images: the paired difference of two reports, with its interval.

    A and B are folders that Report.save wrote, or files: a.json that --json printed, with the predictions beside it in
    a.csv, which --predictions wrote.
    """
    log_to_terminal()
    from dermssl.evaluation.compare import compare
    from dermssl.evaluation.report import Report

    reports = Report.load(report_a), Report.load(report_b)
    try:
        result = compare(*reports)
    except DermsslError as error:
        raise DermsslError(f"{report_a} and {report_b}: {error}") from error
    click.echo(result.to_json() if as_json else result.to_markdown())
