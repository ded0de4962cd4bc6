"""``dermssl reproduce``: its options are those of the run and the fields of ``Settings``."""

import dataclasses
import sys
import types
import typing
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.paper.settings import Settings


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return [part.strip() for part in value.split(",") if part.strip()] if value is not None else None


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> list[int] | None:
    try:
        return None if value is None else [int(part) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 1,2") from error


def _options(command: click.Command) -> click.Command:
    """Give ``command`` one option a field of ``Settings``."""
    hints = typing.get_type_hints(Settings)
    for f in dataclasses.fields(Settings):
        choices, hint = f.metadata["choices"], hints[f.name]
        if isinstance(hint, types.UnionType):
            hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
        default = f"  [default: {f.default}]" if f.default is not None else ""
        command.params.append(
            click.Option(
                ["--" + f.name.replace("_", "-")],
                type=click.Choice(choices) if choices else hint,
                help=f.metadata["help"] + default,
            )
        )
    return command


@click.command()
@click.option("--pretrain-data", required=True, metavar="DATA", help="Images to pretrain on; labels are not used.")
@click.option("--eval-data", required=True, metavar="DATA", help="Labelled images.")
@click.option("--output", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder for all results.")
@click.option(
    "--methods",
    metavar="A,B,...",
    callback=_names,
    help="Rows: random,imagenet,rotation,byol,moco,simclr,pirl,rotinstdisc.  [default: all]",
)
@click.option("--tables", metavar="1,2,...", callback=_numbers, help="Of 1 to 5.  [default: all]")
@click.option(
    "--figures", metavar="4,5,6", callback=_numbers, help="Of 4 to 6.  [default: all; none if --tables is given]"
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def command(as_json: bool, output: Path, **options: Any) -> None:
    """Reproduce the paper: all methods under one budget, Tables 1 to 5 and Figures 4 to 6, its numbers beside ours.

    Stop or kill it at any time; the same command goes on. Started several times on the same --output, or by torchrun,
    the processes share the work. Exits with 1 if a part failed; that is tried again by the next start.
    """
    log_to_terminal()
    import dermssl
    from dermssl.distributed import is_main

    given = {name: value for name, value in options.items() if value is not None}
    report = dermssl.reproduce(output=output, progress=True, **given)
    if is_main():
        click.echo(report.to_json() if as_json else report.to_markdown())
    if is_main() and not as_json:
        click.echo(f"\nReport: {report.output / 'report.html'}")
    if report.failed:
        click.echo(f"Error: {len(report.failed)} cells failed: {', '.join(report.failed)}", err=True)
        sys.exit(1)


command = _options(command)
