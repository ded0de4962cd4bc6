"""Evaluations as a page: figures with their intervals, classes, confusions, folds, and all that they depend on."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dermssl.evaluation.fewshot import FewShot
from dermssl.evaluation.kinds import KINDS
from dermssl.evaluation.metrics import TITLES
from dermssl.evaluation.report import Report
from dermssl.evaluation.subgroups import subgroup_table
from dermssl.privacy import told_apart
from dermssl.reporting import page
from dermssl.reporting.figures import Point, against_fraction, estimates

SHOWN = ("accuracy", "recall_macro")  # what is drawn; the table has all

_INTERVAL = (
    "Lines and brackets: bootstrap 95 % interval over the lesions tested; it covers the choice of test images, not "
    "that of the training run."
)
Values = Mapping[str, Any]


def write_evaluation_page(path: Path, results: Sequence[Report]) -> None:
    """Write one or several reports as one self-contained HTML file; several stand side by side.

    Args:
        path: of the HTML file.
        results: of one data set, or the page compares the incomparable.
    """
    reports = [result.to_dict() | {"weights": result.weights} for result in results]
    titles = TITLES
    names = _names(reports)
    shown = [name for name in titles if any(_number(report["metrics"].get(name)) is not None for report in reports)]
    sections = [
        ("Figures", [_figures_table(reports, names, shown, titles), *_estimates(reports, names, titles)]),
        *((f"Classes: {name}" if len(reports) > 1 else "Classes", _classes(report))
          for name, report in zip(names, reports, strict=True)),
        *((f"Subgroups: {name}" if len(reports) > 1 else "Subgroups", _subgroups(report))
          for name, report in zip(names, reports, strict=True) if report.get("by")),
        ("Folds", [_folds(report, name, shown, titles) for name, report in zip(names, reports, strict=True)]),
        ("What the figures rest on", [_protocol([_flat(report) for report in reports], names), *_notes(reports)]),
    ]  # fmt: skip
    kinds = " and ".join(dict.fromkeys(map(_kind, reports)))
    lead = [_sentence(report, name) for report, name in zip(reports, names, strict=True)]
    shares = sorted({f"{100 * report['majority_accuracy']:.1f}" for report in reports}, key=float)
    right = " to ".join(dict.fromkeys((shares[0], shares[-1])))
    majority = f"Always predicting the most frequent class is right for {right} %."
    page.write_html(path, f"{_short(reports[0]['data'])}: {kinds}", " ".join([*lead, majority]), sections)


def write_fewshot_page(path: Path, results: FewShot) -> None:
    """Write what few labels give as one self-contained HTML file.

    Args:
        path: of the HTML file.
        results: what ``fewshot`` returned.
    """
    result, titles = results.to_dict(), TITLES
    fractions, weights = result["fractions"], told_apart(result["weights"])
    by_weights = {
        name: [report for report in result["results"] if report["weights"] == given]
        for name, given in zip(weights, result["weights"], strict=True)
    }
    some = next(iter(by_weights.values()))
    majority = [100 * report["majority_accuracy"] for report in some]
    figures, tables = [], []
    for metric in SHOWN:
        series = {name: [_estimate(report, metric, name) for report in rows] for name, rows in by_weights.items()}
        reference = majority if metric == "accuracy" else None
        alt = f"{titles[metric]} against the share of labels for {', '.join(weights)}"
        figures.append((against_fraction(f"{titles[metric]}, %", fractions, series, reference=reference), alt))
        rows = [[name, *(_with_interval(report, metric) for report in reports)] for name, reports in by_weights.items()]
        if reference is not None:
            rows.append(["always predicting the most frequent class", *(f"{value:.2f}" for value in reference)])
        header = ["weights", *(f"{100 * fraction:g} %" for fraction in fractions)]
        tables.append(page.table(header, rows, f"{titles[metric]}, %, with its 95 % interval"))
    kind = _kind(some[0])
    shares = (
        f"{100 * min(fractions):g} to {100 * max(fractions):g} %" if len(fractions) > 1 else f"{100 * fractions[0]:g} %"
    )
    page.write_html(
        path,
        f"{_short(some[0]['data'])}: few labels",
        f"{kind[0].upper()}{kind[1:]} with {shares} of the labels of every training fold; the test folds stay whole. "
        f"Always predicting the most frequent class is right for {majority[-1]:.1f} %.",
        [
            ("Figures against labels", [page.plots(figures, _INTERVAL.replace("Lines", "Bands")), *tables]),
            (
                "What the figures rest on",
                [_protocol([_common(map(_flat, rows)) for rows in by_weights.values()], weights), *_notes(some)],
            ),
        ],
    )


def _sentence(report: Values, name: str) -> str:
    low, high = report["interval"]["accuracy"]
    within = f" (95 % interval {100 * low:.1f} to {100 * high:.1f})" if None not in (low, high) else ""
    return f"{name}: the right class for {100 * report['metrics']['accuracy']:.1f} % of the images{within}."


def _figures_table(
    reports: Sequence[Values], names: Sequence[str], shown: Sequence[str], titles: Mapping[str, str]
) -> str:
    rows = [[titles[m], *(_with_interval(report, m) for report in reports)] for m in shown]
    majority = ["always predicting the most frequent class", *(f"{100 * r['majority_accuracy']:.2f}" for r in reports)]
    rows.insert(shown.index("accuracy") + 1 if "accuracy" in shown else 0, majority)
    counts = {len(report["folds"]) for report in reports}
    one = "Test set" if counts == {1} else f"Mean of {max(counts)} folds"
    what = one if len(counts) == 1 else "Mean over the folds of each, or its test set"
    return page.table(["%", *names], rows, f"{what}, with its 95 % interval")


def _estimates(reports: Sequence[Values], names: Sequence[str], titles: Mapping[str, str]) -> list[str]:
    if len(reports) < 2:
        return []  # one point each: the table says it
    figures = []
    majority = {report["majority_accuracy"] for report in reports}  # of other folds or images it is another
    for metric in SHOWN:
        rows = [_estimate(report, metric, name) for report, name in zip(reports, names, strict=True)]
        reference = 100 * max(majority) if metric == "accuracy" and len(majority) == 1 else None
        svg = estimates(f"{titles[metric]}, %", rows, reference=reference)
        figures.append((svg, f"{titles[metric]} of {', '.join(names)} with intervals"))
    dashed = " Dashed: always predicting the most frequent class." if len(majority) == 1 else ""
    return [page.plots(figures, f"{_INTERVAL}{dashed}")]


def _classes(report: Values) -> list[str]:
    keys = ("precision", "recall", "f1", "auroc")
    rows = [
        [name, f"{values['support']:,}", *(_percent(values[key]) for key in keys)]
        for name, values in report["per_class"].items()
    ]
    header = ["%", "images", "precision", "recall", "F1", "AUROC"]
    caption = "Confusion matrix: images of each class by the class predicted, shaded by their share of the class"
    return [
        page.table(header, rows, "Predictions of all folds together"),
        page.matrix(report["confusion"], report["classes"], caption, corner="class \\ prediction"),
    ]


def _subgroups(report: Values) -> list[str]:
    caption = "Predictions of all folds together, with 95 % intervals over the lesions of the subgroup"
    tables = [page.table(*subgroup_table(column, rows), caption) for column, rows in report["by"].items()]
    notes = {row["note"] for rows in report["by"].values() for row in rows if row.get("note")}
    return [*tables, *(page.prose(f"Too few: {note}.") for note in sorted(notes))]


def _folds(report: Values, name: str, shown: Sequence[str], titles: Mapping[str, str]) -> str:
    folds = report["folds"]
    several = len(folds) > 1
    header = ["%", *(f"fold {fold['fold']}" if several else "test set" for fold in folds)]
    rows = [["training images", *(f"{fold['train_images']:,}" for fold in folds)]]
    rows.append(["test images", *(f"{fold['test_images']:,}" for fold in folds)])
    rows += [[titles[metric], *(_percent(fold.get(metric)) for fold in folds)] for metric in shown]
    if several:
        header.append("std")
        rows = [
            [*row, std] for row, std in zip(rows, ["", "", *(_percent(report["std"][m]) for m in shown)], strict=True)
        ]
    return page.table(header, rows, name)


def _protocol(columns: Sequence[Mapping[str, str]], names: Sequence[str]) -> str:
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = {key: [column.get(key, "") for column in columns] for key in keys}
    shared = {key for key, values in rows.items() if len(set(values)) == 1}
    same = [[key, rows[key][0]] for key in keys if key in shared]
    other = [[key, *rows[key]] for key in keys if key not in shared]
    caption = "Every parameter that affects a figure, the images, and the versions used"
    tables = [page.table(["", *names], other, "What differs", numbers=False)] if other else []
    return "".join([*tables, page.table(["", "value"], same, caption, numbers=False)])


def _common(columns: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What all have in common: what moves with the share of labels stands in the tables."""
    first, *others = columns
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _flat(report: Values) -> dict[str, str]:
    """Parameters, data, split and versions of a report under one another."""
    values: dict[str, Any] = {"data": report["data"], **report["protocol"]}
    for prefix, record in (("", report["records"].get("train")), ("test ", report["records"].get("test"))):
        for key in ("layout", "images", "groups", "unlabelled", "problems", "content_hash"):
            if record and record.get(key) is not None:
                values[f"{prefix}{key}"] = record[key]
    values |= {key: report["split"][key] for key in sorted(report["split"]) if key not in values}
    flat: dict[str, str] = {}
    for key, value in values.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{key} {name}".strip().replace("_", " "): _text(item) for name, item in inner}
    return flat | {f"version of {name}": version for name, version in report["versions"].items()}


def _notes(reports: Sequence[Values]) -> list[str]:
    """The notes of the reports, once each."""
    return [page.prose(f"Note: {note}.") for note in dict.fromkeys(note for r in reports for note in r["notes"])]


def _estimate(report: Values, metric: str, name: str) -> Point:
    low, high = (_number(edge) for edge in report["interval"][metric])
    value = _number(report["metrics"][metric])
    return Point(name, *(float("nan") if v is None else 100 * v for v in (value, low, high)))


def _with_interval(report: Values, metric: str) -> str:
    low, high = report["interval"].get(metric, (None, None))
    value = _percent(report["metrics"].get(metric))
    # broken between the figure and its interval, where a column is too narrow for both
    return value if None in (low, high) else f"{value} [{100 * low:.1f},\u00a0{100 * high:.1f}]"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and value == value else None


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _short(data: str) -> str:
    """The folder or file that the data is, without the way to it."""
    return Path(data).name or data


def _kind(report: Values) -> str:
    kind: str = report["kind"]
    return KINDS[kind].phrase if kind in KINDS else kind


def _names(reports: Sequence[Values]) -> list[str]:
    """A name for each report: the weights, with the kind of evaluation where these repeat."""
    weights = told_apart([report["weights"] for report in reports])
    if len(set(weights)) == len(weights):
        return weights
    return [f"{name}, {_kind(report)}" for name, report in zip(weights, reports, strict=True)]
