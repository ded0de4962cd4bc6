"""``dermssl eval-knn``"""

import click

from dermssl.cli.parse import data_argument, json_option, options_of, weights_argument
from dermssl.cli.show import page_option, show_report
from dermssl.evaluation.arguments import KnnOptions


@click.command()
@weights_argument()
@data_argument()
@options_of(KnnOptions)
@page_option
@json_option()
def command(**options: object) -> None:
    """Classify images by their nearest neighbours among frozen features.

    DATA is a set of labelled images: a HAM10000 or ISIC download, a folder per class, a CSV or a prepared cache.
    """
    from dermssl.evaluation.knn import evaluate_knn

    show_report(evaluate_knn, options)
