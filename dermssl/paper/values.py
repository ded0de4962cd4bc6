"""The figures of the tables, the paper's beside ours, read from the files of the cells."""

from dataclasses import dataclass
from typing import Any

from dermssl.documents import parse_json
from dermssl.paper.cells import AGAIN, DONE, Ledger
from dermssl.paper.numbers import Printed
from dermssl.paper.plan import BASE, OURS, Plan, Row, difference

NOT_YET = "not run yet"
_FIGURE = (float, None)
# What the tables need of a report.
REPORT = {
    "metrics": {str: _FIGURE},
    "interval": {str: ([_FIGURE, _FIGURE], None)},
    "majority_accuracy": float,
    "versions": {str: str},
}

# our column -> (its name in a report, its name where the paper's row is averaged over classes)
METRICS = {
    "accuracy": ("accuracy", "accuracy"),
    "recall": ("recall_macro", "recall_macro"),
    "precision": ("precision_weighted", "precision_macro"),
    "f1": ("f1_weighted", "f1_macro"),
}


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval, in per cent or points; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Value:
    """One figure of one row of one table, in per cent.

    Attributes:
        metric: ``accuracy``, ``recall`` (over classes), ``precision`` or ``f1`` (over images, or as the paper's row).
        paper_gain: the paper's number less its own number for random weights; None where it has none.
        gain: ours less ours for random weights, over the same images.
        majority: accuracy of always answering the training folds' most frequent class.
        note: why there is no figure; "" if there is one.
    """

    table: int
    title: str
    row: str
    subject: str
    metric: str
    paper: float
    paper_gain: float | None
    ours: Estimate | None
    gain: Estimate | None
    majority: float | None
    note: str


@dataclass(frozen=True)
class Lead:
    """The paper's method less another row in one table, in points."""

    table: int
    title: str
    rival: str
    metric: str
    paper: float | None
    ours: Estimate | None
    note: str


def status(plan: Plan, ledger: Ledger, key: str) -> str:
    """Why a cell has no result; "" if it has one."""
    cell, outcome = plan.cells[key], ledger.outcome(key)
    if outcome and outcome.state == DONE:
        return ""
    if cell.absent:
        return f"not available: {cell.absent}"
    if outcome:
        what = f"{cell.kind} of {cell.subject} " if cell.kind == "pretrain" else ""
        return f"{what}{outcome.state}: {outcome.message}"
    reasons = [reason for need in cell.needs if (reason := status(plan, ledger, need))]
    return next((reason for reason in reasons if reason != NOT_YET), NOT_YET)


def table_values(plan: Plan, ledger: Ledger) -> list[Value]:
    """Every figure of the tables asked for, row by row."""
    values = []
    for table in plan.tables:
        for row in table.rows:
            key = f"{table.evaluation}/{row.subject}"
            note = status(plan, ledger, key)
            report = {} if note else read_report(ledger, key)
            gains = _difference(plan, ledger, table.evaluation, row.subject, BASE)
            for metric, names in METRICS.items():
                paper = getattr(row.printed, metric)
                if paper is None:
                    continue
                name = names[row.printed.macro]
                values.append(
                    Value(
                        table=table.number,
                        title=table.title,
                        row=row.title,
                        subject=row.subject,
                        metric=metric,
                        paper=paper,
                        paper_gain=_paper_gain(row, table.base, metric),
                        ours=estimate(report, name) if report else None,
                        gain=_gain(gains, name),
                        majority=100 * report["majority_accuracy"] if report else None,
                        note=note,
                    )
                )
    return values


def leads(plan: Plan, ledger: Ledger) -> list[Lead]:
    """By how much the paper's method is ahead of the other rows, in accuracy and recall."""
    found = []
    for table in plan.tables:
        printed = {row.subject: row for row in table.rows}
        for rival in table.rivals:
            key = difference(table.evaluation, OURS, rival).key
            gains = _difference(plan, ledger, table.evaluation, OURS, rival)
            for metric in ("accuracy", "recall"):
                a, b = (getattr(printed[name].printed, metric) for name in (OURS, rival))
                name = METRICS[metric][0]
                found.append(
                    Lead(
                        table.number,
                        table.title,
                        printed[rival].title,
                        metric,
                        None if None in (a, b) else a - b,
                        _gain(gains, name),
                        status(plan, ledger, key),
                    )
                )
    return found


def read_report(ledger: Ledger, key: str) -> dict[str, Any]:
    """The JSON of an evaluation's report: figures as fractions of 1, null where undefined."""
    path = ledger.report(key)
    name = str(path.relative_to(ledger.folder))
    report: dict[str, Any] = parse_json(ledger.read(name), str(path), "the report of a cell", REPORT, remedy=AGAIN)
    return report


def estimate(report: dict[str, Any], name: str) -> Estimate:
    """A metric of a report, in per cent."""
    return _estimate(report["metrics"].get(name), report["interval"].get(name) or (None, None))


def _difference(plan: Plan, ledger: Ledger, evaluation: str, subject: str, base: str) -> dict[str, Any]:
    key = difference(evaluation, subject, base).key
    outcome = ledger.outcome(key) if key in plan.cells else None
    return outcome.result["metrics"] if outcome and outcome.state == DONE else {}


def _paper_gain(row: Row, base: Printed, metric: str) -> float | None:
    other = getattr(base, metric)
    if row.subject == BASE or (row.printed.macro and metric in ("precision", "f1")):
        return None  # averages of different kinds have no difference
    return getattr(row.printed, metric) - other


def _gain(gains: dict[str, Any], name: str) -> Estimate | None:
    return _estimate(gains[name]["difference"], gains[name]["interval"]) if name in gains else None


def _estimate(value: float | None, interval: Any) -> Estimate:
    low, high = interval
    return Estimate(*(None if number is None else 100 * number for number in (value, low, high)))
