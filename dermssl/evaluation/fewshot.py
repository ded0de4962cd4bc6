"""How far does a share of the labels take each of several sets of weights?"""

import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dermssl.backbones.facts import name_of
from dermssl.data.cache import Cache
from dermssl.documents import MissingDocument, read_json
from dermssl.errors import DermsslError
from dermssl.evaluation.arguments import FewshotOptions
from dermssl.evaluation.fitted import check_output
from dermssl.evaluation.metrics import TITLES
from dermssl.evaluation.report import Report
from dermssl.evaluation.setup import Setup
from dermssl.evaluation.transfer import Transfer
from dermssl.files import replaced_file, write_text
from dermssl.options import check, takes
from dermssl.privacy import told_apart
from dermssl.tables import markdown_table, percent

_REQUESTS = "requests.json"  # file name of a report -> what it was made of, so that the same call goes on

LOGGER = logging.getLogger("dermssl")


@dataclass(frozen=True)
class FewShot:
    """The result of `fewshot`: one report for every set of weights and every share of the labels.

    Attributes:
        fractions: the shares.
        reports: weights -> a report for each fraction.
    """

    fractions: tuple[float, ...]
    reports: dict[str, tuple[Report, ...]]

    def to_dict(self) -> dict[str, Any]:
        """``fractions``, ``weights`` and ``results``, a report for each pair: what JSON can hold."""
        results = [
            {**result, "weights": name, "fraction": result["protocol"]["fraction"]}
            for name, reports in zip(self._names, self.reports.values(), strict=True)
            for result in (report.to_dict() for report in reports)
        ]
        return {"fractions": list(self.fractions), "weights": self._names, "results": results}

    def to_json(self) -> str:
        """``to_dict`` as one JSON object."""
        return json.dumps(self.to_dict(), indent=1)

    def to_markdown(self) -> str:
        """Tables of accuracy and macro recall: mean and standard deviation over folds, a row for each
        weights.
        """
        return "\n\n".join(self._table(metric) for metric in ("accuracy", "recall_macro"))

    @property
    def _names(self) -> list[str]:
        """The weights, as what is handed on calls them."""
        return told_apart(tuple(self.reports))

    def _table(self, metric: str) -> str:
        rows = [
            [name, *(f"{percent(r.metrics[metric])} ± {percent(r.std[metric])}" for r in reports)]
            for name, reports in zip(self._names, self.reports.values(), strict=True)
        ]
        if metric == "accuracy":
            some = next(iter(self.reports.values()))
            majority = [percent(report.majority_accuracy) for report in some]
            rows.append(["(always predicting the most frequent class)", *majority])
        header = [f"{TITLES[metric]}, %", *(f"{100 * fraction:g} %" for fraction in self.fractions)]
        return markdown_table(header, rows)

    def plot(self, path: str | Path) -> None:
        """Draw accuracy and macro recall against the share of labels; the suffix (.svg, .png, .pdf) decides
        how.

        The bands are the reports' bootstrap intervals.
        """
        import matplotlib

        with matplotlib.rc_context({"text.parse_math": False}):  # a name with $ in it is not a formula
            self._draw(Path(path))

    def _draw(self, path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4), layout="constrained")
        for axes, metric in zip(figure.subplots(1, 2), ("accuracy", "recall_macro"), strict=True):
            shares = [100 * fraction for fraction in self.fractions]
            for name, reports in zip(self._names, self.reports.values(), strict=True):
                values = [100 * report.metrics[metric] for report in reports]
                edges = [[100 * report.interval[metric][i] for report in reports] for i in (0, 1)]
                (line,) = axes.plot(shares, values, marker="o", label=name)
                axes.fill_between(shares, *edges, color=line.get_color(), alpha=0.15, linewidth=0)
            if metric == "accuracy":
                some = next(iter(self.reports.values()))
                majority = [100 * report.majority_accuracy for report in some]
                axes.plot(shares, majority, "--", color="grey", label="most frequent class")
            axes.set(xlabel="labels used, %", ylabel=f"{TITLES[metric]}, %", xticks=shares)
            axes.grid(alpha=0.3)
        lines = figure.axes[0].get_lines()
        # named here too, as matplotlib takes a line whose name begins with _ for one to leave out
        figure.axes[0].legend(lines, [str(line.get_label()) for line in lines], fontsize="small")
        with replaced_file(path) as partial:
            figure.savefig(partial, format=path.suffix.lstrip(".") or "svg")

    def save(self, folder: str | Path) -> None:
        """Write the reports, each with its answers as CSV, ``fewshot.md``, ``fewshot.svg`` and ``fewshot.json``."""
        folder = Path(folder)
        for number, reports in enumerate(self.reports.values()):
            for fraction, report in zip(self.fractions, reports, strict=True):
                if report.predictions is not None:
                    report.save(_report_file(folder, number, fraction))
        write_text(folder / "fewshot.md", self.to_markdown() + "\n")
        self.plot(folder / "fewshot.svg")
        write_text(folder / "fewshot.json", self.to_json() + "\n")  # last: where it is, all is


def _made_before(file: Path, transfer: Transfer, share: float) -> Report | None:
    """The report that an interrupted call with the same request left in ``file``; the request is noted for the next.

    Raises:
        DermsslError: the folder holds what another request made.
    """
    folder = file.parent.parent
    noted: dict[str, str] = {}
    with contextlib.suppress(MissingDocument):
        noted = read_json(folder / _REQUESTS, "what was asked for", {str: str}, remedy="name another --output")
    request = transfer.request(share)
    if noted.setdefault(file.name, request) != request:
        raise DermsslError(f"--output {folder}: holds the results of other weights, images or options; name another")
    write_text(folder / _REQUESTS, json.dumps(noted, indent=1) + "\n")
    try:
        report = Report.load(file)
    except DermsslError:  # not made yet, or damaged
        return None
    if report.predictions is None:
        return None
    LOGGER.info("%s with %g %% of the labels: made before, in %s", transfer.name, 100 * share, file)
    return report


def _report_file(folder: Path, number: int, fraction: float) -> Path:
    """Where the report of the weights of this number goes."""
    return folder / "reports" / f"{number}-{100 * fraction:g}-percent.json"


@takes(FewshotOptions)
def fewshot(weights: Sequence[str | Path | nn.Module], data: str | Path | Cache, options: FewshotOptions) -> FewShot:
    """``finetune`` with several shares of the labels, for several sets of weights, on the same images and
    folds.

    Args:
        weights: one or more of what ``finetune`` takes.
        data: labelled images.
        options: the fields of `FewshotOptions`, by keyword.

    Raises:
        DermsslError: as ``finetune``; no weights, the same weights twice, or no fractions. That some of the weights
            cannot be used is said before anything is trained.
    """
    if isinstance(weights, str | Path | nn.Module):
        weights = [weights]
    if not weights:
        raise DermsslError("fewshot: name one set of WEIGHTS or more")
    for share in options.fractions:
        check("fractions", share)  # a number at all
        check("fractions", float(share), above=0, most=1)
    shares = tuple(sorted({float(share) for share in options.fractions}))
    if not shares:
        raise DermsslError("--fractions: name one or more, above 0 and at most 1")
    output = options.output
    if output is not None and not (Path(output) / _REQUESTS).is_file():
        check_output(output)
    _refuse_unusable(weights, image_size=options.image_size, seed=options.seed)
    reports: dict[str, tuple[Report, ...]] = {}
    for entry in weights:
        transfer = Transfer.prepare(entry, data, options)
        done = []
        for share in shares:
            file = None if output is None else _report_file(Path(output), len(reports), share)
            report = None if file is None else _made_before(file, transfer, share)
            if report is None:
                LOGGER.info("%s with %g %% of the labels", transfer.name, 100 * share)
                report = transfer.evaluate(fraction=share)
                if file is not None:  # now: what comes after it may fail
                    report.save(file)
            done.append(report)
        reports[transfer.name] = tuple(done)
    result = FewShot(shares, reports)
    if output is not None:
        result.save(output)
    return result


def _refuse_unusable(weights: Sequence[str | Path | nn.Module], *, image_size: int | None, seed: int) -> None:
    """Load all weights once: the last ones must not turn out to be wrong after hours of training on the first."""
    names = [name_of(entry) for entry in weights]
    for name in names:
        if names.count(name) > 1:
            raise DermsslError(f"fewshot: {name} is named twice")
    for entry in weights:
        if not isinstance(entry, nn.Module):
            Setup.of(entry, image_size=image_size, seed=seed)
