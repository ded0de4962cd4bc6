"""The page of a search for duplicates: the pairs side by side."""

from pathlib import Path

from dermssl.evaluation.leakage.lesions import LesionRanking
from dermssl.evaluation.leakage.search import Leakage, Pair
from dermssl.privacy import spoken
from dermssl.reporting import page

SHOWN = 200  # pairs on the page; pairs.csv has all
CANDIDATES = 24  # for one lesion photographed twice, on the page; candidates.csv has more


def write_leakage_page(path: Path, result: Leakage) -> None:
    """Show the pairs side by side, those of different lesions first; what a plain split overstates; and which images of
    other lesions the features find most alike.

    Args:
        path: of the HTML file.
        result: what ``leakage`` returned.
    """
    ordered = sorted(result.pairs, key=lambda pair: bool(pair.same_group))
    rows = [_row(result, pair) for pair in ordered[:SHOWN]]
    caption = "Framed: not known to be of one lesion, so that folds grouped by lesion do not keep the two together."
    if len(ordered) > SHOWN:
        caption += f" {len(ordered) - SHOWN} more pairs are in pairs.csv."
    blocks = [page.picture_rows(rows, caption)] if rows else [page.prose("None were found.")]
    sections = [("Pairs that show the same photograph", blocks)]
    gap = result.split
    if gap is not None:
        about = (
            f"Accuracy in %, KNN of {spoken(gap.weights)} at {gap.image_size} px, {gap.folds} folds, mean of "
            f"{gap.divisions} divisions. {gap.repeated_images} of {gap.images} images are of a group with several "
            f"images; plain folds cut {gap.groups_cut:.0f} such groups."
        )
        header, body = gap.table()
        sections.append(("What a plain split overstates", [page.table(header, body, about)]))
    if result.lesions is not None:
        sections.append(("The same lesion, photographed twice", _of_lesions(result, result.lesions)))
    counts = result.counts()
    sets = zip(result.data, result.images, strict=True)
    where = " and ".join(f"{spoken(name)} ({count:,} images)" for name, count in sets)
    lead = (
        f"{counts['pairs']} pairs of images in {where} show the same photograph: {counts['exact']} with "
        f"identical files, {counts['near']} nearly identical; {counts['across_groups']} of them are not known to show "
        "one lesion."
    )
    page.write_html(path, "Leakage", lead, sections)


def _of_lesions(result: Leakage, ranking: LesionRanking) -> list[str]:
    """Where what is known stands in the ranking, and the first candidates side by side."""
    blocks = [page.prose(sentence) for sentence in ranking.sentences()]
    if ranking.named:
        about = (
            "Rank as neighbour: 1 if no image of another lesion is more like one of the two. Rank of all pairs: 1 if "
            "no other pair of different lesions is more alike."
        )
        blocks.append(page.table(*ranking.table(), about))
    cache = result.caches[0]
    rows = {name: row for row, name in enumerate(cache.records.ids)}
    shown = [
        (
            f"{number}, cosine {similarity:.3f}",
            [page.Picture(cache.images[rows[name]], f"image {name}", name) for name in (first, second)],
        )
        for number, (first, second, similarity) in enumerate(ranking.candidates[:CANDIDATES], start=1)
    ]
    if shown:
        caption = "The most alike images of different lesions, to be looked at; candidates.csv has more."
        blocks.append(page.picture_rows(shown, caption))
    return blocks


def _row(result: Leakage, pair: Pair) -> tuple[str, list[page.Picture]]:
    labels = " / ".join(label or "no label" for label in (pair.label, pair.other_label))
    sides = ((result.caches[0], pair.first), (result.caches[-1], pair.second))
    pictures = [
        page.Picture(cache.images[row], f"image {name}", name, marked=not pair.same_group)
        for (cache, name), row in zip(sides, pair.rows, strict=True)
    ]
    return f"{pair.kind}, {pair.likeness:.2f}, {pair.turn}; {labels}", pictures
