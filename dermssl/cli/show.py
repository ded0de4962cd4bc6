"""What the evaluations' commands have in common: run, print the report, write its page."""

from collections.abc import Callable
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import PLACE
from dermssl.errors import DermsslError
from dermssl.files import refuse_unwritable

page_option = click.option(
    "--page", type=PLACE, metavar="HTML", help="Also write the report to this file, as an HTML page."
)


def show_report(evaluate: Callable[..., Any], options: dict[str, Any]) -> None:
    """Run the evaluation with its progress on standard error, and print its report on standard output."""
    log_to_terminal()
    as_json, page = options.pop("as_json"), options.pop("page")
    if page is not None:
        refuse_unwritable(page, "--page")
    from dermssl.evaluation.late import NotSaved

    failure: DermsslError | None = None
    try:
        report = evaluate(options.pop("weights"), options.pop("data"), progress=True, **options)
    except NotSaved as error:  # raised below: the report is whole
        failure, report = error, error.report
    click.echo(report.to_json() if as_json else report.to_markdown())  # first: the page may fail
    if page is not None:
        from dermssl.reporting.pages import write_page

        write_page(report, page)
    if failure is not None:
        raise failure
