"""``dermssl finetune``"""

import click

from dermssl.cli.parse import data_argument, json_option, options_of, weights_argument
from dermssl.cli.show import page_option, show_report
from dermssl.evaluation.arguments import FinetuneOptions


@click.command()
@weights_argument()
@data_argument()
@options_of(FinetuneOptions)
@page_option
@json_option()
def command(**options: object) -> None:
    """Train a classifier on labelled images and test it, in folds.

    DATA is a set of labelled images: a HAM10000 or ISIC download, a folder per class, a CSV or a prepared cache.
    """
    from dermssl.evaluation.finetune import finetune

    show_report(finetune, options)
