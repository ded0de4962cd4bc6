"""``dermssl prepare``: decode a data set once."""

import json
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, output_folder
from dermssl.data.arguments import PrepareOptions


@click.command()
@data_argument()
@output_folder("Folder to write; an interrupted run continues where it stopped.", metavar="CACHE")
@options_of(PrepareOptions)
@json_option("Print one JSON object instead of text.")
def command(data: str, output: Path, as_json: bool, **options: Any) -> None:
    """Decode every image of DATA once and write it to CACHE, which every command takes as its DATA.

    DATA is a folder of images, a folder per class, a HAM10000 or ISIC download, a CSV with
    image,label[,group] columns, or another cache, which is reduced to --size.
    """
    from dermssl.data.prepare import prepare
    from dermssl.data.records import Kind

    log_to_terminal()
    cache = prepare(data, output, **options)
    records = cache.records
    reasons: dict[str, int] = {}
    for problem in cache.problems:
        kind = problem.reason if problem.kind is Kind.OTHER else problem.kind.meaning
        reasons[kind] = reasons.get(kind, 0) + 1
    groups = None if records.groups is None else len(set(records.groups))
    if as_json:
        found = {
            "cache": str(cache.path),
            "source": str(records.source),
            "layout": records.layout,
            "images": len(records),
            "size": cache.size,
            "fit": cache.fit,
            "classes": records.class_counts(),
            "unlabelled": int((records.labels < 0).sum()),
            "groups": groups,
            "problems": reasons,
            "content_hash": cache.content_hash,
        }
        click.echo(json.dumps(found, indent=1))
        return
    click.echo(f"{cache.path}: {len(records):,} images of {cache.size} x {cache.size} px, fit {cache.fit}")
    click.echo(f"  source    {records.source} ({records.layout})")
    if records.classes:
        counts = ", ".join(f"{name} {count:,}" for name, count in records.class_counts().items())
        click.echo(f"  classes   {counts}; {int((records.labels < 0).sum()):,} without a label")
    else:
        click.echo("  classes   none: unlabelled images, for pretraining")
    if groups is not None:
        click.echo(f"  lesions   {groups:,} lesions or patients")
    for kind, count in reasons.items():
        click.echo(f"  problem   {count:,} x {kind}")
    if reasons:
        click.echo(f"            each in {cache.path / 'problems.csv'}")
