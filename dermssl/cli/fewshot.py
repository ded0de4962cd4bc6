"""``dermssl fewshot``"""

import json
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.options import evaluation_options, training_options
from dermssl.files import refuse_unwritable


def _fractions(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 0.01,0.1") from error


@click.command()
@click.argument("weights", nargs=-1, required=True)
@click.argument("data")
@click.option(
    "--fractions",
    default="0.01,0.02,0.04,0.06,0.08,0.1",
    show_default=True,
    callback=_fractions,
    help="Shares of the training labels.",
)
@click.option("--output", metavar="DIR", help="Write tables, figure and reports there.")
@training_options
@evaluation_options
def command(as_json: bool, page: Path | None, **options: Any) -> None:
    """Train classifiers on small shares of the labels, for one or several WEIGHTS, and test them in folds.

    WEIGHTS are run directories, exported directories, .safetensors files, hf-hub:ORG/NAME, timm:NAME or
    random:NAME; the last argument is DATA, a set of labelled images.
    """
    log_to_terminal()
    if page is not None:
        refuse_unwritable(page, "--page")
    from dermssl.evaluation.fewshot import fewshot

    result = fewshot(options.pop("weights"), options.pop("data"), progress=True, **options)
    click.echo(result.to_json() if as_json else result.to_markdown())  # first: the page may fail
    if page is not None:
        from dermssl.evaluation.report import TITLES
        from dermssl.reporting.evaluation_page import write_fewshot_page

        write_fewshot_page(page, json.loads(result.to_json()), titles=TITLES)
