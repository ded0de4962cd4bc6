"""``dermssl finetune``"""

import click

from dermssl.cli.options import evaluation_options, show_report, training_options


@click.command()
@click.argument("weights")
@click.argument("data")
@training_options
@evaluation_options
@click.option("--fraction", default=1.0, show_default=True, help="Share of the training labels to use.")
@click.option("--output", metavar="DIR", help="Save the fitted model there, for timm, with its class names.")
@click.option("--predictions", metavar="CSV", help="Write the answers there.")
def command(**options: object) -> None:
    """Train a classifier on labelled images and test it, in folds.

    WEIGHTS is a run directory, an exported directory, a .safetensors file, hf-hub:ORG/NAME, timm:NAME or
    random:NAME. DATA is a set of labelled images: a HAM10000 or ISIC download, a folder per class, a CSV or a
    prepared cache.
    """
    from dermssl.evaluation.finetune import finetune

    show_report(finetune, options)
