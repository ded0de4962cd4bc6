"""``dermssl pretrain``: the options are the fields of ``PretrainConfig``, with its help and defaults."""

import itertools
import json
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, output_folder
from dermssl.pretraining.config import PretrainConfig, own_options


class PretrainCommand(click.Command):
    """A command that has the options of the method which its arguments name, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, once the method's own options are there. Help without --method does not wait for the methods."""
        method = _named_method(args)
        if method or not {"-h", "--help"} & set(args):
            ctx.meta[__name__] = _own_parameters(method or PretrainConfig.method)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters of this call."""
        return [*super().get_params(ctx), *ctx.meta.get(__name__, [])]


def _named_method(args: list[str]) -> str | None:
    """NAME of ``--method NAME`` or ``--method=NAME``."""
    for word, following in itertools.pairwise([*args, ""]):
        if word == "--method" or word.startswith("--method="):
            return word.partition("=")[2] or following
    return None


def _own_parameters(method: str) -> list[click.Parameter]:
    def holder() -> None:
        pass

    options_of(own_options(method), only_given=True)(holder)
    return list(reversed(getattr(holder, "__click_params__", [])))


@click.command(cls=PretrainCommand, epilog="More options of a method:  dermssl pretrain --method NAME -h")
@data_argument()
@output_folder("Run directory.")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Continue the run in --output, or start over.",
)
@options_of(PretrainConfig, only_given=True)
@json_option("Print one JSON object: run directory and last metrics.")
def command(data: str, output: Path, resume: bool, as_json: bool, **options: Any) -> None:
    """Pretrain a timm backbone on the unlabelled images in DATA.

    DATA is a folder of images, a folder per class, a HAM10000 or ISIC download, a CSV or a prepared cache.
    Stop with Ctrl-C at any time; the same command continues from there.
    On several GPUs or machines:  torchrun --nproc-per-node N -m dermssl pretrain DATA --output RUN ...
    """
    log_to_terminal()
    import dermssl
    from dermssl import distributed
    from dermssl.pretraining.run_directory import RunDirectory

    given = {name: value for name, value in options.items() if value is not None}
    result = dermssl.pretrain(data, output, resume=resume, **given)
    if not distributed.is_main():
        return
    backbone = RunDirectory(result.run).backbone
    last: dict[str, Any] = next(reversed(result.history), {})  # nothing where metrics.jsonl of a finished run was lost
    if as_json:
        click.echo(json.dumps({"run": str(result.run), "backbone": str(backbone), "metrics": last}))
        return
    loss = f" (loss {last['loss']:.3f})" if "loss" in last else ""
    click.echo(f"Pretrained backbone: {backbone}{loss}")
    click.echo(f"Evaluate it on labelled images:  dermssl eval-knn {result.run} LABELLED_IMAGES")
