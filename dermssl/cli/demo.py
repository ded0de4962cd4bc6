"""``dermssl demo``"""

import json
from pathlib import Path

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import json_option, output_folder


@click.command()
@output_folder("Folder for images, run and report.", required=False, default="dermssl-demo", show_default=True)
@json_option("Print one JSON object.")
def command(output: Path, as_json: bool) -> None:
    """Pretrain on synthetic images and compare with an untrained network, in under two minutes on two cores."""
    log_to_terminal()
    from dermssl.demonstration import NEXT, demo

    result = demo(output)
    accuracies = {"pretrained": result.pretrained.metrics, "random": result.random.metrics}
    if as_json:
        paths = {"report": str(result.report), "run": str(result.run)}
        gain = {"difference": result.difference.difference, "interval": result.difference.interval}
        click.echo(
            json.dumps(
                {
                    **paths,
                    "seconds": result.seconds,
                    "rotation_accuracy": result.rotation_accuracy,
                    "metrics": accuracies,
                    **gain,
                }
            )
        )
        return
    for name, metrics in accuracies.items():
        click.echo(
            f"KNN, {name:10}: accuracy {metrics['accuracy']:6.1%}, balanced accuracy {metrics['recall_macro']:6.1%}"
        )
    gain, (low, high) = (getattr(result.difference, part)["accuracy"] for part in ("difference", "interval"))
    click.echo(
        f"Gain by pretraining: {100 * gain:+.1f} points of accuracy "
        f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    )
    click.echo(f"Rotation predicted correctly for {result.rotation_accuracy:.0%} of the views (chance: 25%)")
    click.echo(f"Report: {result.report.resolve()}  ({result.seconds:.0f} s)\n\nNext, on your own images:\n{NEXT}")
