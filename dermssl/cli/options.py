"""Options and output that the commands of the evaluations share."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.files import refuse_unwritable

Command = Callable[..., None]

_EVALUATION = [
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
    click.option("--seed", default=0, show_default=True, help="Of folds, training and random: weights."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option(
        "--page",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="HTML",
        help="Write the report there as a page.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables."),
]

_TRAINING = [
    click.option("--freeze", is_flag=True, help="Train a linear classifier on frozen features."),
    click.option(
        "--recipe",
        type=click.Choice(["default", "paper"]),
        default="default",
        show_default=True,
        help="How to train; paper: SGD, batch 64, learning rate 0.001.",
    ),
    click.option("--epochs", type=int, help="Passes over the training images.  [default: the recipe's]"),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        default="auto",
        show_default=True,
        help="auto: bf16 where the hardware multiplies in it; float32 for frozen features.",
    ),
]


def evaluation_options(command: Command) -> Command:
    """The options of every evaluation with folds."""
    return _add(_EVALUATION, command)


def training_options(command: Command) -> Command:
    """The options of every evaluation that trains."""
    return _add(_TRAINING, command)


def _add(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def show_report(evaluate: Callable[..., Any], options: dict[str, Any]) -> None:
    """Run the evaluation with its progress on standard error, and print its report on standard output."""
    log_to_terminal()
    as_json, page = options.pop("as_json"), options.pop("page")
    if page is not None:
        refuse_unwritable(page, "--page")
    report = evaluate(options.pop("weights"), options.pop("data"), progress=True, **options)
    click.echo(report.to_json() if as_json else report.to_markdown())  # first: the page may fail
    if page is not None:
        from dermssl.evaluation.report import TITLES
        from dermssl.reporting.evaluation_page import write_evaluation_page

        write_evaluation_page(page, [json.loads(report.to_json())], titles=TITLES)
