"""The report of a reproduction: ``report.md``, ``report.json`` and ``report.html``, from the files of the cells."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dermssl.files import write_text
from dermssl.paper import numbers
from dermssl.paper.budget import read_settings
from dermssl.paper.cells import DONE, FAILED, Ledger
from dermssl.paper.page import write_paper_page
from dermssl.paper.plan import BASE, OURS, Plan
from dermssl.paper.shown import View, budget_view, few_view, lead_views, table_views, tsne_view
from dermssl.paper.values import Lead, Value, leads, read_report, status, table_values
from dermssl.privacy import handed_on

TITLE = "The paper's tables, reproduced"
READING = (
    "paper: the number printed there. ours: mean over folds, with the bootstrap 95 % interval over lesions. ours − "
    "random: the same images in the same folds, with its paired interval; an interval that excludes 0 speaks of "
    "other images, not of other training runs: each row is one run."
)


@dataclass(frozen=True)
class PaperReport:
    """What a reproduction has come to.

    Attributes:
        output: its folder, with ``report.html``, ``report.md``, ``report.json``.
        values: every figure of the tables, the paper's beside ours, in per cent.
        leads: the paper's method less the other rows, in points.
        cells: key -> ``state``, ``message``, ``seconds``.
        failed: keys of the cells that ended with an error; they are tried again by the next call.
        budget: settings, data and versions.
    """

    output: Path
    values: tuple[Value, ...]
    leads: tuple[Lead, ...]
    cells: dict[str, dict[str, Any]]
    failed: tuple[str, ...]
    budget: dict[str, Any]
    views: dict[str, tuple[View, ...]]

    @property
    def summary(self) -> str:
        """The result in a sentence or two."""
        return _summary(self.values, self.failed)

    @property
    def reading(self) -> str:
        """How to read the tables."""
        return f"{READING} {numbers.said_of_queue(self.budget['resolved']['queue_size'])}"

    def to_markdown(self) -> str:
        """What ``report.md`` holds."""
        parts = [f"# {TITLE}", self.summary, self.reading]
        for heading, views in self.views.items():
            parts += [f"## {heading}", *(view.to_markdown() for view in views)]
        return "\n\n".join(parts)

    def to_json(self) -> str:
        """What ``report.json`` holds."""
        content = {
            "budget": self.budget,
            "values": [asdict(value) for value in self.values],
            "leads": [asdict(lead) for lead in self.leads],
            "failed": self.failed,
            "cells": self.cells,
        }
        return json.dumps(handed_on(content), indent=1)


def write_report(ledger: Ledger, plan: Plan) -> PaperReport:
    """Read what there is and write the three files; unfinished cells show as such."""
    stored = read_settings(ledger.folder)
    values, ahead = table_values(plan, ledger), leads(plan, ledger)
    cells = {}
    for key in plan.cells:
        outcome = ledger.outcome(key)
        cells[key] = {
            "state": outcome.state if outcome else status(plan, ledger, key),
            "message": outcome.message if outcome else "",
            "seconds": outcome.seconds if outcome else None,
            "result": outcome.result if outcome else {},
        }
    versions = _versions(ledger, plan)
    failed = tuple(key for key, cell in cells.items() if cell["state"] == FAILED)
    drawn = (("tsne", tsne_view), ("few", few_view))
    views: dict[str, list[View]] = {
        "The paper's method against the others": lead_views(ahead),
        "Tables": table_views(values),
        "Figures": [show(plan, ledger) for kind, show in drawn if plan.figure(kind)],
        "Budget": [budget_view(stored, plan, ledger, versions)],
        "Cells that failed": _failures(cells, failed),
    }
    report = PaperReport(
        output=ledger.folder,
        values=tuple(values),
        leads=tuple(ahead),
        cells=cells,
        failed=failed,
        budget={**stored, "versions": versions},
        views={heading: tuple(shown) for heading, shown in views.items() if shown},
    )
    write_text(ledger.folder / "report.md", report.to_markdown() + "\n")
    write_text(ledger.folder / "report.json", report.to_json() + "\n")
    write_paper_page(ledger, plan, TITLE, report.summary, report.reading, report.views)
    return report


def _failures(cells: dict[str, dict[str, Any]], failed: tuple[str, ...]) -> list[View]:
    rows = [[key, cells[key]["message"]] for key in failed]
    return [View("Errors", ["cell", "message"], rows, "They are tried again by the next start.")] if rows else []


def _summary(values: tuple[Value, ...], failed: tuple[str, ...]) -> str:
    found = {(v.table, v.title, v.subject): v for v in values if v.metric == "accuracy" and v.ours is not None}
    parts = []
    for number, title in dict.fromkeys((v.table, v.title) for v in values if v.table in (1, 2)):
        ours, base = (found.get((number, title, subject)) for subject in (OURS, BASE))
        if ours and base and ours.ours and base.ours and ours.gain and ours.gain.value is not None:
            gain = ours.gain
            parts.append(
                f"Table {number}, {title}: accuracy {ours.ours.value:.2f} % against {base.ours.value:.2f} % of random "
                f"weights, {gain.value:+.2f} points ({gain.low:+.2f} to {gain.high:+.2f}); the paper has "
                f"{ours.paper:.2f} % and {base.paper:.2f} %, {ours.paper_gain:+.2f}."
            )
    if failed:
        parts.append(f"{len(failed)} cells failed and are named at the end.")
    return " ".join(parts) or "No figure of the paper's method is there yet."


def _versions(ledger: Ledger, plan: Plan) -> dict[str, str]:
    """Of every library, all versions that evaluations were made with."""
    seen: dict[str, set[str]] = {}
    for key, cell in plan.cells.items():
        outcome = ledger.outcome(key)
        if cell.kind in ("knn", "finetune", "frozen", "few") and outcome and outcome.state == DONE:
            for name, version in read_report(ledger, key)["versions"].items():
                seen.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in seen.items()}
