"""Which rows the tables have, and which cells they need. Rows of several tables share their cells."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from dermssl.errors import DermsslError
from dermssl.paper import numbers
from dermssl.paper.cells import Cell
from dermssl.paper.numbers import Printed
from dermssl.paper.settings import Request, Settings

OURS = "rotinstdisc"
BASE = "random"

# The parts that are of some methods only; every method is in all others.
ONLY = {
    "Table 3": ("rotation", OURS),
    "Table 4": (OURS,),
    "Table 5": (OURS,),
    "Figure 6": (BASE, "rotation", OURS),
}


@dataclass(frozen=True)
class Row:
    """A row of a table: what it is called, whose weights it shows, what the paper printed."""

    title: str
    subject: str
    printed: Printed


@dataclass(frozen=True)
class Table:
    """A table of the paper, or half of one.

    Attributes:
        number: "1" ... "5"; Table 2 has two halves.
        evaluation: kind of the cells behind it: ``knn``, ``finetune`` or ``frozen``.
        base: the paper's row of random weights under the same evaluation.
        rivals: subjects that the paper's method is compared with.
    """

    number: int
    title: str
    evaluation: str
    rows: tuple[Row, ...]
    base: Printed
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The tables asked for and all cells that they and the figures need, in the order in which they are made."""

    request: Request
    tables: tuple[Table, ...]
    cells: dict[str, Cell]

    def figure(self, kind: str) -> list[Cell]:
        """The cells of a figure: ``few``, ``tsne`` or ``cam``."""
        return [cell for cell in self.cells.values() if cell.kind == kind]


def refuse_empty(request: Request) -> None:
    """Say before any work that there is none to do.

    Raises:
        DermsslError: none of the methods is in any of the tables and figures.
    """
    parts = [*(f"Table {number}" for number in request.tables), *(f"Figure {number}" for number in request.figures)]
    if all(set(request.methods).isdisjoint(ONLY.get(part, request.methods)) for part in parts):
        needs = ", ".join(f"{part} needs {' or '.join(ONLY[part])}" for part in parts)
        raise DermsslError(f"--methods {','.join(request.methods)}: none of them is in what is asked for; {needs}")


def make_plan(request: Request, settings: Settings, *, images: int, known: Collection[str]) -> Plan:
    """The tables and cells of a request.

    Args:
        settings: resolved: epochs, batch size, queue size and image size are numbers.
        images: that are pretrained on.
        known: the methods that this version can train.
    """
    runs = _Runs(settings, images, known)
    tables = tuple(table for table in _tables(request, settings) if table.rows and table.number in request.tables)
    for table in tables:
        for row in table.rows:
            runs.evaluate(table.evaluation, row.subject)
        for subject in (row.subject for row in table.rows if row.subject != BASE):
            if BASE in request.methods:
                runs.compare(table.evaluation, subject, BASE)
        for rival in table.rivals:
            runs.compare(table.evaluation, OURS, rival)
    if 4 in request.figures:
        for method in request.methods:
            runs.evaluate("tsne", method)
    if 5 in request.figures:
        for method in request.methods:
            for fraction in numbers.FRACTIONS:
                runs.evaluate("few", method, fraction=fraction)
    if 6 in request.figures:
        for subject in _tasks(request):
            runs.evaluate("cam", subject)
    return Plan(request, tables, runs.cells)


def run_name(rotation_weight: float = numbers.LAMBDA, queue_size: int | None = None) -> str:
    """The name of the paper's method with another lambda or queue; of itself with neither."""
    if rotation_weight != numbers.LAMBDA:
        return f"{OURS}-lambda-{rotation_weight:g}"
    return OURS if queue_size is None else f"{OURS}-queue-{queue_size}"


INSTANCE = run_name(0.0)


def _tasks(request: Request) -> list[str]:
    """Figure 6: without training, each task alone, both."""
    own = [INSTANCE, OURS] if OURS in request.methods else []
    return [*(name for name in (BASE, "rotation") if name in request.methods), *own]


def _tables(request: Request, settings: Settings) -> list[Table]:
    ours = OURS in request.methods
    rivals = tuple(name for name in request.methods if name != OURS) if ours else ()

    def rows(printed: dict[str, Printed]) -> tuple[Row, ...]:
        return tuple(Row(numbers.ROWS[name], name, printed[name]) for name in request.methods)

    tasks = [("rotation", "rotation alone", "rotation")] if "rotation" in request.methods else []
    tasks += [("instance", "instance alone (λ = 0)", INSTANCE), ("both", "both (λ = 0.1)", OURS)] if ours else []
    lambdas = numbers.LAMBDAS if ours else {}
    queues = numbers.QUEUES if ours else {}
    base = numbers.KNN[BASE]
    return [
        Table(1, "KNN", "knn", rows(numbers.KNN), base, rivals),
        Table(2, "fine-tuned", "finetune", rows(numbers.FINETUNED), numbers.FINETUNED[BASE], rivals),
        Table(2, "frozen", "frozen", rows(numbers.FROZEN), numbers.FROZEN[BASE], rivals),
        Table(
            3,
            "tasks, KNN",
            "knn",
            tuple(Row(title, subject, numbers.TASKS[name]) for name, title, subject in tasks),
            base,
            tuple(subject for *_, subject in tasks if subject != OURS) if ours else (),
        ),
        Table(
            4,
            "λ, the weight of the rotation loss, KNN",
            "knn",
            tuple(Row(f"λ = {weight:g}", run_name(weight), printed) for weight, printed in lambdas.items()),
            base,
        ),
        Table(
            5,
            "K, the length of the queue, KNN",
            "knn",
            tuple(
                Row(f"K = {size}", run_name(queue_size=None if size == settings.queue_size else size), printed)
                for size, printed in queues.items()
            ),
            base,
        ),
    ]


class _Runs:
    """Collects cells, each once, after those that it needs."""

    def __init__(self, settings: Settings, images: int, known: Collection[str]) -> None:
        self.settings, self.known = settings, known
        batch = settings.batch_size or 1
        self.keys = (settings.epochs or 1) * (images // batch) * batch  # that a run makes
        self.cells: dict[str, Cell] = {}

    def add(self, cell: Cell) -> str:
        self.cells.setdefault(cell.key, cell)
        return cell.key

    def evaluate(self, kind: str, subject: str, **options: Any) -> str:
        return self.add(Cell(kind, subject, options, self._weights(subject)))

    def compare(self, evaluation: str, subject: str, base: str) -> str:
        for row in (subject, base):  # all tables compare with random weights; only 1 and 2 have them as a row
            self.evaluate(evaluation, row)
        return self.add(difference(evaluation, subject, base))

    def _weights(self, subject: str) -> tuple[str, ...]:
        """The cell that makes the weights; none for random ones."""
        if subject == BASE:
            return ()
        if subject == "imagenet":
            return (self.add(Cell("weights", subject, only_for_others=True)),)
        method, *sweep = subject.split("-")
        queue_size = int(sweep[1]) if sweep[:1] == ["queue"] else self.settings.queue_size
        options: dict[str, Any] = {
            "method": method,
            "queue_size": queue_size,
            "rotation_weight": float(sweep[1]) if sweep[:1] == ["lambda"] else numbers.LAMBDA,
        }
        absent = ""
        if method not in self.known:
            absent = f"this version of dermssl has no method {method}"
        elif sweep[:1] == ["queue"] and queue_size is not None and queue_size > self.keys:
            absent = f"a queue of {queue_size} is never full, as a run makes {self.keys} keys"
        return (self.add(Cell("pretrain", subject, options, absent=absent, only_for_others=True)),)


def difference(evaluation: str, subject: str, base: str) -> Cell:
    """The cell that compares two rows of one evaluation: ``subject`` minus ``base``."""
    options = {"evaluation": evaluation, "of": subject, "minus": base}
    needs = (f"{evaluation}/{subject}", f"{evaluation}/{base}")
    return Cell("difference", f"{evaluation}-{subject}-minus-{base}", options, needs)
