"""``dermssl leakage``"""

from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, output_folder
from dermssl.evaluation.arguments import LeakageOptions
from dermssl.files import refuse_unwritable_folder

FOUND = 3  # 1 is an error of dermssl, 2 a wrong command line


@click.command()
@data_argument()
@data_argument("other", required=False, metavar="[DATA]")
@output_folder("Folder for leakage.html, leakage.json and pairs.csv.")
@options_of(LeakageOptions)
@click.option("--allow-same-lesion", is_flag=True, help="Leave pairs known to be of one lesion out of the exit status.")
@json_option()
@click.pass_context
def command(
    context: click.Context,
    data: str,
    other: str | None,
    output: Path,
    allow_same_lesion: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find photographs that occur twice in DATA, or in both of two sets: the same bytes, or turned, mirrored, resized,
    recompressed or cropped by up to 5 %.

    Exit status: 0 if nothing was found, 3 if pairs were found, 1 or 2 on an error.
    """
    log_to_terminal()
    refuse_unwritable_folder(output, "--output")
    from dermssl.evaluation.leakage.search import leakage
    from dermssl.reporting.pages import write_page

    result = leakage(data, other, progress=True, **options)
    click.echo(result.to_json() if as_json else result.to_markdown())  # first: the files may fail
    result.save(output)
    write_page(result, output / "leakage.html")
    if result.across_groups or (result.pairs and not allow_same_lesion):
        context.exit(FOUND)
