"""``dermssl leakage``"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import data_argument, json_option, options_of, output_folder
from dermssl.evaluation.arguments import LeakageOptions
from dermssl.files import refuse_unwritable_folder

if TYPE_CHECKING:
    from dermssl.evaluation.leakage.search import Leakage

FOUND = 3  # 1 is an error of dermssl, 2 a wrong command line
SHOWN = 200  # pairs on the page


@click.command()
@data_argument()
@data_argument("other", required=False, metavar="[DATA]")
@output_folder("Folder for leakage.html, leakage.json and pairs.csv.")
@options_of(LeakageOptions)
@click.option("--allow-same-lesion", is_flag=True, help="Pairs of one known lesion do not count for the exit status.")
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
    """Find photographs that are twice in DATA, or in both of two DATA: the same bytes, or turned, mirrored, resized,
    recompressed or cropped by up to 5 %.

    Exit status: 0 nothing found, 3 pairs found, 1 or 2 an error.
    """
    log_to_terminal()
    refuse_unwritable_folder(output, "--output")
    from dermssl.evaluation.leakage.search import leakage

    result = leakage(data, other, progress=True, **options)
    click.echo(result.to_json() if as_json else result.to_markdown())  # first: the files may fail
    result.save(output)
    write_page(result, output / "leakage.html")
    if result.across_groups or (result.pairs and not allow_same_lesion):
        context.exit(FOUND)


def write_page(result: "Leakage", path: Path) -> None:
    """Show the pairs side by side, those of different lesions first."""
    from dermssl.reporting.leakage_page import PairPictures, write_leakage_page

    ordered = sorted(result.pairs, key=lambda pair: bool(pair.same_group))
    shown = []
    for pair in ordered[:SHOWN]:
        labels = " / ".join(label or "no label" for label in (pair.label, pair.other_label))
        shown.append(
            PairPictures(
                result.caches[0].images[pair.rows[0]],
                result.caches[-1].images[pair.rows[1]],
                (pair.first, pair.second),
                f"{pair.kind}, {pair.likeness:.2f}, {pair.turn}; {labels}",
                marked=not pair.same_group,
            )
        )
    counts = result.counts()
    where = " and ".join(f"{name} ({count:,} images)" for name, count in zip(result.data, result.images, strict=True))
    lead = (
        f"{counts['pairs']} pairs of images in {where} show the same photograph: {counts['exact']} byte for byte, "
        f"{counts['near']} nearly; {counts['across_groups']} of them are not known to be of one lesion."
    )
    gap = result.split
    split = None
    if gap is not None:
        about = (
            f"Accuracy in %, KNN of {gap.weights} at {gap.image_size} px, {gap.folds} folds, mean of {gap.divisions} "
            f"divisions. {gap.repeated_images} of {gap.images} images are of a group with several images; plain folds "
            f"cut {gap.groups_cut:.0f} such groups."
        )
        split = (about, *gap.table())
    write_leakage_page(path, lead, shown, left_out=len(ordered) - len(shown), split=split)
