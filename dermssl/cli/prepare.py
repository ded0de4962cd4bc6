"""``dermssl prepare``: decode a data set once."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CACHE",
    help="The folder to write; an interrupted run goes on where it stopped.",
)
@click.option("--size", default=256, show_default=True, help="Edge length of the square images, in pixels.")
@click.option(
    "--fit",
    type=click.Choice(["squash", "crop"]),
    default="squash",
    show_default=True,
    help="squash: both sides to SIZE. crop: the shorter side to SIZE, then the middle square.",
)
@click.option("--workers", type=int, help="Threads that decode.  [default: one a CPU core]")
@click.option(
    "--max-bad", default=0.05, show_default=True, help="Share of unreadable images above which this is an error."
)
@click.option(
    "--label", metavar="COLUMN", help="Column of DATA's tables that holds the class.  [default: as its layout has it]"
)
@click.option(
    "--group",
    metavar="COLUMN",
    help="Column of DATA's tables that holds the lesion or the patient.  [default: as its layout has it]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(
    data: Path,
    output: Path,
    size: int,
    fit: str,
    workers: int | None,
    max_bad: float,
    label: str | None,
    group: str | None,
    as_json: bool,
) -> None:
    """Decode every image of DATA once and write them to CACHE, which every command takes as its DATA.

    DATA is a folder of images, a folder per class, a HAM10000 or ISIC download, a CSV with
    image,label[,group] columns, or another cache, which is reduced to --size.
    """
    from dermssl.cli.logs import log_to_terminal
    from dermssl.data.prepare import prepare
    from dermssl.data.records import Kind

    log_to_terminal()
    cache = prepare(data, output, size=size, fit=fit, workers=workers, max_bad=max_bad, label=label, group=group)  # type: ignore[arg-type]
    records = cache.records
    reasons: dict[str, int] = {}
    for problem in cache.problems:
        kind = problem.kind.meaning if problem.kind is not Kind.OTHER else _kind(problem.reason)
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


def _kind(reason: str) -> str:
    """A problem without the file it names, so that equal ones can be counted."""
    if "files have this name" in reason:
        return "named in the table, but several files have this name"
    for kind in ("byte for byte", "points outside", "named in", "in no row", "not read", "unreadable"):
        if reason.startswith(kind):
            return {
                "byte for byte": "byte for byte the same as another image",
                "points outside": "points outside the folder",
                "named in": "named in the table, but there is no such file",
                "in no row": "a file that the table does not name",
                "not read": "a table that was not read",
                "unreadable": "unreadable",
            }[kind]
    return reason
