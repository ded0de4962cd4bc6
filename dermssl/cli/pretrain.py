"""``dermssl pretrain``: the options are the fields of ``PretrainConfig``, with its help and defaults."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.pretraining.config import PretrainConfig, flag


def _options(command: click.Command) -> click.Command:
    """Give ``command`` one option a field; only those that were typed are passed on, so that a recipe can fill in."""
    types_ = typing.get_type_hints(PretrainConfig)
    for f in dataclasses.fields(PretrainConfig):
        choices, switch = f.metadata["choices"], types_[f.name] is bool
        option = click.Option(
            [f"{flag(f.name)}/--no-{flag(f.name)[2:]}" if switch else flag(f.name)],
            default=None,
            type=click.Choice(choices) if choices else _plain(types_[f.name]),
            help=f.metadata["help"] + (f"  [default: {f.default}]" if f.default is not None else ""),
        )
        command.params.append(option)
    return command


def _plain(annotation: Any) -> type:
    """``int | None`` -> ``int``."""
    if isinstance(annotation, types.UnionType):
        return next(t for t in typing.get_args(annotation) if t is not type(None))
    return annotation


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Run directory.")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with the run in --output, or start over.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: run directory and last metrics.")
def command(data: Path, output: Path, resume: bool, as_json: bool, **options: Any) -> None:
    """Pretrain a timm backbone on the unlabelled images in DATA.

    DATA is a folder of images, a folder per class, a HAM10000 or ISIC download, a CSV or a prepared cache.
    Stop with Ctrl-C at any time; the same command goes on from there.
    On several GPUs or machines:  torchrun --nproc-per-node N -m dermssl pretrain DATA --output RUN ...
    """
    log_to_terminal()
    import dermssl
    from dermssl import distributed

    given = {name: value for name, value in options.items() if value is not None}
    result = dermssl.pretrain(data, output, resume=resume, **given)
    if not distributed.is_main():
        return
    last = result.history[-1]
    if as_json:
        click.echo(json.dumps({"run": str(result.run), "backbone": str(result.run / "backbone"), "metrics": last}))
        return
    click.echo(f"Pretrained backbone: {result.run / 'backbone'} (loss {last['loss']:.3f})")
    click.echo(f"Evaluate it on labelled images:  dermssl eval-knn {result.run} LABELLED_IMAGES")


command = _options(command)
