"""The command line. A command is one module of this package; it is imported only when it is run or listed."""

import importlib
import sys

import click

from dermssl import __version__
from dermssl.errors import DermsslError, SaidElsewhere
from dermssl.malloc import keep_freed_memory

# command name -> module; each module holds a click command called ``command``
COMMANDS = {
    "demo": "dermssl.cli.demo",
    "prepare": "dermssl.cli.prepare",
    "pretrain": "dermssl.cli.pretrain",
    "eval-knn": "dermssl.cli.eval_knn",
    "finetune": "dermssl.cli.finetune",
    "fewshot": "dermssl.cli.fewshot",
    "reproduce": "dermssl.cli.reproduce",
    "cam": "dermssl.cli.cam",
    "project": "dermssl.cli.project",
    "leakage": "dermssl.cli.leakage",
    "compare": "dermssl.cli.compare",
    "export": "dermssl.cli.export",
    "push": "dermssl.cli.push",
    "info": "dermssl.cli.info",
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return importlib.import_module(COMMANDS[name]).command if name in COMMANDS else None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version")
def group() -> None:
    """Pretrain timm backbones on unlabelled dermoscopy images, evaluate them, publish them."""


def main() -> None:
    keep_freed_memory()
    try:
        group(prog_name="dermssl")
    except SaidElsewhere:
        sys.exit(1)
    except DermsslError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
