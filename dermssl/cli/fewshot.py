"""``dermssl fewshot``"""

from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, weights_argument
from dermssl.cli.show import page_option
from dermssl.evaluation.arguments import FewshotOptions
from dermssl.files import refuse_unwritable


@click.command()
@weights_argument(nargs=-1, required=True)
@data_argument()
@options_of(FewshotOptions)
@page_option
@json_option()
def command(as_json: bool, page: Path | None, **options: Any) -> None:
    """Train classifiers on small shares of the labels, for one or several WEIGHTS, and test them in folds.

    The last argument is DATA, a set of labelled images.
    """
    log_to_terminal()
    if page is not None:
        refuse_unwritable(page, "--page")
    from dermssl.evaluation.fewshot import fewshot

    result = fewshot(options.pop("weights"), options.pop("data"), progress=True, **options)
    click.echo(result.to_json() if as_json else result.to_markdown())  # first: the page may fail
    if page is not None:
        from dermssl.reporting.pages import write_page

        write_page(result, page)
