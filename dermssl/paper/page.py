"""``report.html``: the tables of the report with the figures drawn."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from dermssl.errors import DermsslError
from dermssl.files import write_text
from dermssl.paper import numbers
from dermssl.paper.cells import AGAIN, DONE, Cell, Ledger
from dermssl.paper.plan import INSTANCE, OURS, Plan
from dermssl.paper.shown import FIGURE_4, FIGURE_5, View
from dermssl.paper.values import estimate, read_report, status
from dermssl.reporting import page
from dermssl.reporting.figures import Point, against_fraction

CAM_TITLES = {**numbers.ROWS, "rotation": "rotation alone", INSTANCE: "instance alone", OURS: "both"}


def write_paper_page(
    ledger: Ledger, plan: Plan, title: str, lead: str, reading: str, views: Mapping[str, Sequence[View]]
) -> None:
    """Write ``report.html`` into the output folder; it needs no other file."""
    sections = []
    for heading, shown in views.items():
        blocks = [page.prose(reading)] if heading == "Tables" else []
        for view in shown:
            blocks += _blocks(view)
            if view.title in _PICTURES:
                blocks += _PICTURES[view.title](ledger, plan)
        sections.append((heading, blocks))
    if plan.figure("cam"):
        sections.append(("Figure 6: where the networks look", _maps(ledger, plan)))
    page.write_html(ledger.folder / "report.html", title, lead, sections)


def _blocks(view: View) -> list[str]:
    numeric = view.title not in ("Budget", "Errors")
    caption = ". ".join(filter(None, (view.title, view.caption)))
    rows = view.rows
    if numeric:  # a row stays a line where there is room
        rows = [[cell.replace(" to ", "\u00a0to\u00a0") for cell in row] for row in rows]
    return [page.table(view.header, rows, caption, numbers=numeric), *map(page.prose, view.notes)]


def _scatters(ledger: Ledger, plan: Plan) -> list[str]:
    """Figure 4, a scatter plot per row."""
    figures = []
    for cell in plan.figure("tsne"):
        if outcome := _done(ledger, cell):
            title = numbers.ROWS[cell.subject]
            svg = _drawing(ledger, outcome["files"][0])
            purity = 100 * outcome["result"]["purity"]["purity"]
            figures.append(page.plot(svg, f"t-SNE of {title}", f"Figure 4, {title}: purity {purity:.2f} %"))
    return [f'<div class="plots">{"".join(figures)}</div>'] if figures else []


def _curves(ledger: Ledger, plan: Plan) -> list[str]:
    """Figure 5, for accuracy and for recall; also written as SVG files."""
    reports: dict[str, list[dict[str, Any]]] = {}
    for subject in dict.fromkeys(cell.subject for cell in plan.figure("few")):
        keys = [f"few/{subject}-{fraction:g}" for fraction in numbers.FRACTIONS]
        rows = [{} if status(plan, ledger, key) else read_report(ledger, key) for key in keys]
        if any(rows):
            reports[subject] = rows
    if not reports:
        return []
    drawn = []
    for metric, title in (("accuracy", "accuracy, %"), ("recall_macro", "recall over classes, %")):
        series = {
            numbers.ROWS[subject]: [_estimate(row, metric, numbers.ROWS[subject]) for row in rows]
            for subject, rows in reports.items()
        }
        whole = next((rows for rows in reports.values() if all(rows)), None)
        reference = [100 * row["majority_accuracy"] for row in whole] if whole and metric == "accuracy" else None
        svg = against_fraction(title, numbers.FRACTIONS, series, reference=reference)
        write_text(ledger.folder / "figures" / f"few-labels-{metric}.svg", svg)
        drawn.append((svg, f"{title} against the share of the labels of {', '.join(series)}"))
    caption = "Figure 5: against the share of the training labels. Bands: bootstrap 95 % intervals."
    return [page.plots(drawn, caption)]


def _estimate(report: dict[str, Any], metric: str, name: str) -> Point:
    if not report:
        return Point(name, *[float("nan")] * 3)
    figures = estimate(report, metric)
    return Point(name, *(float("nan") if v is None else v for v in (figures.value, figures.low, figures.high)))


_PICTURES = {FIGURE_4: _scatters, FIGURE_5: _curves}


def _maps(ledger: Ledger, plan: Plan) -> list[str]:
    """Figure 6: images, and under each what the networks look at."""
    rows: list[tuple[str, list[page.Picture]]] = []
    notes = []
    for cell in plan.figure("cam"):
        outcome = _done(ledger, cell)
        if not outcome:
            notes.append(page.prose(f"{CAM_TITLES[cell.subject]}: {status(plan, ledger, cell.key)}"))
            continue
        names, files = outcome["result"]["images"], outcome["files"]
        images, maps = files[0::2], files[1::2]
        if not rows:
            rows.append(("image", [_picture(ledger, *pair) for pair in zip(images, names, strict=True)]))
        title = CAM_TITLES[cell.subject]
        rows.append((title, [_picture(ledger, file, "", alt=f"map of {title}") for file in maps]))
    caption = (
        "Grad-CAM of the pretrained networks, without a classifier: yellow is what makes up the features, whatever it "
        "is. Each map is stretched from its own lowest to its own highest value."
    )
    return [*([page.picture_rows(rows, caption)] if rows else []), *notes]


def _picture(ledger: Ledger, file: str, caption: str, alt: str = "") -> page.Picture:
    try:
        with Image.open(io.BytesIO(ledger.read(file)), formats=["PNG"]) as image:
            return page.Picture(np.asarray(image.convert("RGB")), alt or f"image {caption}", caption)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DermsslError(f"{ledger.folder / file} is not a PNG file; {AGAIN}") from error


def _drawing(ledger: Ledger, file: str) -> str:
    """The text of an SVG file of ours: nothing else gets into the page."""
    text = ledger.read(file).decode("utf-8", "replace")
    if not (file.endswith(".svg") and text.lstrip().startswith(("<?xml", "<svg"))):
        raise DermsslError(f"{ledger.folder / file} is not an SVG file; {AGAIN}")
    return text


def _done(ledger: Ledger, cell: Cell) -> dict[str, Any] | None:
    outcome = ledger.outcome(cell.key)
    return {"result": outcome.result, "files": outcome.files} if outcome and outcome.state == DONE else None
