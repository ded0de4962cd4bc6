"""``dermssl eval-knn``"""

import click

from dermssl.cli.options import evaluation_options, show_report


@click.command()
@click.argument("weights")
@click.argument("data")
@click.option("--k", default=100, show_default=True, help="Neighbours that vote.")
@click.option(
    "--weighting",
    type=click.Choice(["uniform", "distance"]),
    default="uniform",
    show_default=True,
    help="What a neighbour's vote counts.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of the feature extraction; fp32 gives the same figure on every machine.",
)
@click.option("--batch-size", default=256, show_default=True, help="Images a forward pass; does not move the figures.")
@evaluation_options
@click.option("--predictions", metavar="CSV", help="Write the answers there.")
def command(**options: object) -> None:
    """Classify images by their nearest neighbours among frozen features.

    WEIGHTS is a run directory, an exported directory, a .safetensors file, hf-hub:ORG/NAME, timm:NAME or
    random:NAME. DATA is a set of labelled images: a HAM10000 or ISIC download, a folder per class, a CSV or a
    prepared cache.
    """
    from dermssl.evaluation.knn import evaluate_knn

    show_report(evaluate_knn, options)
