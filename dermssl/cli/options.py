"""Options and output that the commands of the evaluations share."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

_OPTIONS = [
    click.option("--test", metavar="DATA", help="Test on these images; DATA as a whole is for training."),
    click.option("--folds", default=5, show_default=True, help="Folds of the cross-validation."),
    click.option(
        "--split",
        type=click.Choice(["lesion", "paper"]),
        default="lesion",
        show_default=True,
        help="Keep the images of a lesion in one fold, or split plainly as the paper.",
    ),
    click.option("--image-size", type=int, help="Edge in pixels.  [default: that of the weights]"),
    click.option(
        "--fit",
        type=click.Choice(["squash", "crop"]),
        default="squash",
        show_default=True,
        help="How an image becomes square.",
    ),
    click.option("--seed", default=0, show_default=True, help="Of the folds, and of random: weights."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option(
        "--predictions", metavar="CSV", type=click.Path(dir_okay=False), help="Write the answers there."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables."),
]


def evaluation_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every evaluation with folds."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def show_report(evaluate: Callable[..., Any], options: dict[str, Any]) -> None:
    """Run the evaluation with its progress on standard error, and print its report on standard output."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    as_json = options.pop("as_json")
    report = evaluate(options.pop("weights"), options.pop("data"), progress=True, **options)
    click.echo(report.to_json() if as_json else report.to_markdown())
