"""What the Markdown file and the page both show: tables as headers and rows of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dermssl.paper import numbers
from dermssl.paper.cells import DONE, Ledger
from dermssl.paper.plan import Plan
from dermssl.paper.values import Estimate, Lead, Value, estimate, read_report, status
from dermssl.tables import markdown_table

NONE = "–"
FIGURE_4, FIGURE_5 = "Figure 4: features after transfer, by t-SNE", "Figure 5: few labels"
NAMES = {"accuracy": "accuracy", "recall": "recall", "precision": "precision", "f1": "F1"}
AVERAGES = {
    "accuracy": "",
    "recall": " Averaged over classes.",
    "precision": " Averaged over images (weighted).",
    "f1": " Averaged over images (weighted).",
}


@dataclass(frozen=True)
class View:
    """A table to show, with what must be said under it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    caption: str = ""
    notes: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """The table under a heading."""
        parts = [f"### {self.title}", markdown_table(self.header, self.rows)]
        parts += [self.caption] if self.caption else []
        parts += ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n\n".join(parts)


def table_views(values: Sequence[Value]) -> list[View]:
    """One table for each of the paper's and each of its columns."""
    groups: dict[tuple[int, str, str], list[Value]] = {}
    for value in values:
        groups.setdefault((value.table, value.title, value.metric), []).append(value)
    order = list(dict.fromkeys(key[:2] for key in groups))
    views = []
    for (number, title, metric), group in sorted(
        groups.items(), key=lambda item: (order.index(item[0][:2]), list(NAMES).index(item[0][2]))
    ):
        caption = "" if metric == "accuracy" else AVERAGES[metric].strip()
        if number == 3 and metric in ("precision", "f1"):
            caption += (
                " The paper's numbers for the instance task alone fit averages over classes, and ours in that row are "
                "such; no difference from random weights is computed for it."
            )
        rows = [
            [
                value.row,
                f"{value.paper:.2f}",
                *(_parts(value.ours) if value.ours else (_short(value.note), NONE)),
                NONE if value.paper_gain is None else f"{value.paper_gain:+.2f}",
                *_parts(value.gain, sign="+"),
            ]
            for value in group
        ]
        majority = next((value.majority for value in group if value.majority is not None), None)
        if metric == "accuracy" and majority is not None:
            rows.append(["(most frequent class)", NONE, f"{majority:.2f}", NONE, NONE, NONE, NONE])
        views.append(
            View(
                f"Table {number}, {title}: {NAMES[metric]}",
                ["%", "paper", "ours", "95 % interval", "paper − random", "ours − random", "95 % interval "],
                rows,
                caption,
                # the reasons once, under the table's first part
                tuple(f"{v.row}: {v.note}" for v in group if v.note and v.metric == "accuracy"),
            )
        )
    return views


def lead_views(leads: Sequence[Lead]) -> list[View]:
    """The paper's method against each other row: what held."""
    views = []
    for number, title in dict.fromkeys((lead.table, lead.title) for lead in leads):
        rows = []
        of_table = [lead for lead in leads if (lead.table, lead.title) == (number, title)]
        for lead in of_table:
            paper = NONE if lead.paper is None else f"{lead.paper:+.2f}"
            rows.append([f"{lead.rival}: {lead.metric}", paper, *_parts(lead.ours, sign="+"), verdict(lead)])
        views.append(
            View(
                f"RotInstDisc less the others, Table {number}, {title}",
                ["points", "paper", "ours", "95 % interval", "here it is"],
                rows,
            )
        )
    return views


def verdict(lead: Lead) -> str:
    """What the interval says."""
    if lead.ours is None or lead.ours.low is None or lead.ours.high is None:
        return _short(lead.note)
    if lead.ours.low > 0:
        return "ahead"
    return "behind" if lead.ours.high < 0 else "not told apart"


def few_view(plan: Plan, ledger: Ledger) -> View:
    """Accuracy and recall of Figure 5 as a table."""
    header = ["%, by share of the labels", *(f"{100 * fraction:g} %" for fraction in numbers.FRACTIONS)]
    rows, notes = [], []
    for subject in dict.fromkeys(cell.subject for cell in plan.figure("few")):
        lines: dict[str, list[str]] = {"accuracy": [], "recall_macro": []}
        for fraction in numbers.FRACTIONS:
            key = f"few/{subject}-{fraction:g}"
            note = status(plan, ledger, key)
            if note:
                notes.append(f"{numbers.ROWS[subject]}: {note}")
            report = {} if note else read_report(ledger, key)
            for metric, line in lines.items():
                line.append(" [".join(_parts(estimate(report, metric))) + "]" if report else _short(note))
        for metric, name in (("accuracy", "accuracy"), ("recall_macro", "recall")):
            rows.append([f"{numbers.ROWS[subject]}: {name}", *lines[metric]])
    return View(FIGURE_5, header, rows, "In brackets: 95 % interval.", tuple(dict.fromkeys(notes)))


def tsne_view(plan: Plan, ledger: Ledger) -> View:
    """How pure the neighbourhoods of Figure 4 are."""
    rows, notes = [], []
    for cell in plan.figure("tsne"):
        note, outcome = status(plan, ledger, cell.key), ledger.outcome(cell.key)
        if note or outcome is None:
            notes.append(f"{numbers.ROWS[cell.subject]}: {note}")
            rows.append([numbers.ROWS[cell.subject], _short(note), NONE, NONE, NONE])
            continue
        shares = [outcome.result[part][key] for part, key in (
            ("purity", "purity"), ("class_mean", "purity"), ("purity", "chance"), ("purity", "plane_purity")
        )]  # fmt: skip
        rows.append([numbers.ROWS[cell.subject], *(f"{100 * share:.2f}" for share in shares)])
    return View(
        FIGURE_4,
        ["%", "purity", "purity, mean of classes", "by chance", "purity in the plane"],
        rows,
        "Fine-tuned on all folds but one, shown on the images of that one. Purity: share of an image's nearest "
        "neighbours, those of its own lesion left out, that are of its class.",
        tuple(notes),
    )


def budget_view(stored: dict[str, Any], plan: Plan, ledger: Ledger, versions: dict[str, str]) -> View:
    """Everything that the figures rest on."""
    settings, data = stored["resolved"], stored["data"]
    outcomes = [outcome for key in plan.cells if (outcome := ledger.outcome(key)) and outcome.state == DONE]
    labelled = min(data["eval"]["labelled"], settings["eval_limit"] or data["eval"]["labelled"])
    rows = [
        ["images pretrained on", f"{min(data['pretrain']['images'], settings['limit'] or 10**12):,}"],
        ["  of", f"{data['pretrain']['source']} ({data['pretrain']['content_hash'][:12]})"],
        ["images evaluated on, about" if settings["eval_limit"] else "images evaluated on", f"{labelled:,}"],
        ["  of", f"{data['eval']['source']} ({data['eval']['content_hash'][:12]})"],
        ["seeds", f"one, {settings['seed']}"],
        ["cells done", f"{len(outcomes)} of {len(plan.cells)}"],
        ["hours of all cells together", f"{sum(outcome.seconds for outcome in outcomes) / 3600:.2f}"],
        ["computed on", "; ".join(sorted({outcome.hardware for outcome in outcomes})) or NONE],
    ]
    shown = {name: value for name, value in settings.items() if name not in ("seed", "limit", "eval_limit")}
    rows += [[name.replace("_", " "), "the recipe's" if value is None else str(value)] for name, value in shown.items()]
    rows += [[f"version of {name}", version] for name, version in versions.items()]
    return View("Budget", ["", "value"], rows)


def _parts(figures: Estimate | None, *, sign: str = "") -> tuple[str, str]:
    """A figure and its interval."""
    if figures is None or figures.value is None:
        return NONE, NONE
    if figures.low is None or figures.high is None:
        return f"{figures.value:{sign}.2f}", NONE
    return f"{figures.value:{sign}.2f}", f"{figures.low:{sign}.2f} to {figures.high:{sign}.2f}"


def _short(note: str) -> str:
    """The state that a reason begins with."""
    return next((state for state in ("not available", "not run yet", "failed") if state in note), note or NONE)
