"""``reproduce``: the paper's tables and figures, with its numbers beside ours."""

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dermssl.devices import hardware_name, resolve_device
from dermssl.errors import DermsslError
from dermssl.files import write_text
from dermssl.methods.registry import METHODS
from dermssl.options import make_options
from dermssl.paper.budget import open_budget, refuse_foreign
from dermssl.paper.cells import DONE, FAILED, UNAVAILABLE, Cell, Ledger, Outcome
from dermssl.paper.plan import Plan, make_plan, refuse_empty
from dermssl.paper.report import PaperReport, write_report
from dermssl.paper.settings import Settings, make_request
from dermssl.paper.work import Bench, Made, make
from dermssl.pretraining.loop import Interrupted
from dermssl.privacy import without_folders

LOGGER = logging.getLogger("dermssl")

WAIT = 1.0  # seconds between two looks at the cells that other processes hold
REPORT_EVERY = 60.0  # seconds between two reports on the way

# torchrun's: the cells are shared out by their locks, and inside a cell nothing may look for other ranks
_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")


def reproduce(
    *,
    pretrain_data: str | Path,
    eval_data: str | Path,
    output: str | Path,
    methods: Iterable[str] | None = None,
    tables: Iterable[int] | None = None,
    figures: Iterable[int] | None = None,
    device: str = "auto",
    progress: bool = False,
    **settings: Any,
) -> PaperReport:
    """Pretrain every method of the paper under one budget, evaluate all, and set the paper's numbers beside ours.

    The work is divided into cells, each with its result in ``output``. What is there is not made again: stop or kill
    it anywhere, and the same call continues. Several processes, or ranks of ``torchrun``, started on the same
    ``output`` share the cells out. A cell that fails is named in the report, and tried again by the next call.

    Args:
        pretrain_data: images, labels unused.
        eval_data: labelled images.
        output: folder for runs, results, and ``report.html``, ``report.md``, ``report.json``.
        methods: rows, of ``random``, ``imagenet``, ``rotation``, ``byol``, ``moco``, ``simclr``, ``pirl`` and
            ``rotinstdisc``; default: all. Differences are to ``random``.
        tables: of 1 to 5. Default: all, or none where only figures are named.
        figures: of 4 (t-SNE), 5 (few labels), 6 (activation maps). Default: all, or none where only tables are named.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: show the progress of each cell on standard error.
        **settings: the fields of ``dermssl.paper.settings.Settings``: ``epochs``, ``image_size``, ``limit``,
            ``backbone``, ``batch_size``, ``queue_size``, ``recipe``, ``finetune_epochs``, ``folds``, ``seed``, ...

    Returns:
        PaperReport; its ``failed`` names the cells that ended with an error.

    Raises:
        DermsslError: bad input, none of the methods is in a table or figure asked for, or ``output`` holds something
            else or was made with other settings or images.
        Interrupted: a signal came during a pretraining.
    """
    asked = make_options(Settings, settings, "reproduce")
    request = make_request(methods, tables, figures)
    refuse_empty(request)
    with _alone():
        resolve_device(device)
        refuse_foreign(Path(output))
        ledger = Ledger(Path(output))
        with ledger.alone("settings"):
            budget = open_budget(asked, pretrain_data, eval_data, ledger.folder, device=device, progress=progress)
        plan = make_plan(request, budget.settings, images=budget.images, known=METHODS.keys())
        _Run(plan, Bench(ledger, budget, str(pretrain_data), device, progress)).work()
        return write_report(ledger, plan)


@dataclass
class _Run:
    """One process's part of the work."""

    plan: Plan
    bench: Bench
    reported: float = field(default_factory=time.monotonic)

    def work(self) -> None:
        """Make cells until each is done, or cannot be."""
        waiting = False
        while pending := [cell for cell in self.plan.cells.values() if not self._settled(cell)]:
            if any(self._try(cell) for cell in pending if self._ready(cell)):
                waiting = False
            else:
                if not waiting:
                    LOGGER.info("waiting for other processes, which are working on %d cells", len(pending))
                waiting = True
                time.sleep(WAIT)

    def _settled(self, cell: Cell) -> bool:
        """Whether there is nothing more to do for it at this start."""
        ledger = self.bench.ledger
        if cell.absent or ledger.settled(cell.key):
            return True
        if cell.only_for_others:
            others = [other for other in self.plan.cells.values() if cell.key in other.needs]
            if all(ledger.settled(other.key) for other in others):
                return True
        needed = [self.plan.cells[key] for key in cell.needs]
        return any(self._settled(need) and not self._done(need) for need in needed)

    def _done(self, cell: Cell) -> bool:
        return self.bench.ledger.done(cell.key)

    def _ready(self, cell: Cell) -> bool:
        return all(self.bench.ledger.done(key) for key in cell.needs)

    def _try(self, cell: Cell) -> bool:
        """Make the cell, unless another process is at it or was quicker."""
        ledger = self.bench.ledger
        with ledger.claimed(cell.key) as mine:
            if not mine or self._settled(cell):
                return False
            LOGGER.info("%s ...", cell.key)
            outcome, words = _made(self.bench, cell)
            ledger.write(cell.key, outcome)
        settled = sum(map(self._settled, self.plan.cells.values()))
        LOGGER.log(
            logging.WARNING if outcome.state == FAILED else logging.INFO,
            f"[{settled} of {len(self.plan.cells)}] {cell.key}: {words} ({outcome.seconds:.1f} s)",
        )
        if time.monotonic() - self.reported > REPORT_EVERY:
            write_report(ledger, self.plan)
            self.reported = time.monotonic()
        return True


def _made(bench: Bench, cell: Cell) -> tuple[Outcome, str]:
    """Make a cell, whatever happens in it; its outcome and a few words on it."""
    started = time.monotonic()
    state, message, made = DONE, "", Made({}, (), "")
    try:
        made = make(bench, cell)
    except Interrupted:
        raise
    except DermsslError as error:
        # weights that cannot be had are not a failure of the reproduction
        state = UNAVAILABLE if cell.kind == "weights" else FAILED
        message = str(error)
    except Exception as error:
        state, message = FAILED, f"{type(error).__name__}: {error}"
        told = without_folders(traceback.format_exc(), *bench.places)
        write_text(bench.ledger.folder / "errors" / f"{cell.key}.txt", told)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # one cell that wants too much must not starve the next
    outcome = Outcome(
        state,
        without_folders(message, *bench.places),
        made.result,
        made.files,
        time.monotonic() - started,
        time.time(),
        hardware_name(resolve_device(bench.device)),
    )
    return outcome, made.words or f"{state}: {message}"


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Take this rank's GPU, and hide from everything below that there are other ranks."""
    saved = {name: os.environ.pop(name) for name in _RANKS if name in os.environ}
    try:
        if "LOCAL_RANK" in saved and torch.cuda.is_available():
            torch.cuda.set_device(int(saved["LOCAL_RANK"]) % torch.cuda.device_count())
        yield
    finally:
        os.environ.update(saved)
