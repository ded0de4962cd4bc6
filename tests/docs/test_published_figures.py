"""The figures of the published weights in the pages are those of ``hub/*/results.json``, which the reports gave."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LITE0 = json.loads((ROOT / "hub/tf_efficientnet_lite0.dermssl_ham10000_isic/results.json").read_text())["results"]
PAGE = (ROOT / "docs/measurements/weights.md").read_text()
README = (ROOT / "README.md").read_text()
OURS, IMAGENET, RANDOM = "this model", "lite0_in1k", "random:tf_efficientnet_lite0"
PAIR = re.compile(r"(\d+\.\d)(?: \(([\d. to]+)\))? / (\d+\.\d)(?: \(([\d. to]+)\))?")


def result(weights: str, data: str, evaluation: str, **protocol: object) -> dict | None:
    """The only result of that evaluation; None where there is none."""
    found = [
        one
        for one in LITE0
        if (one["weights"], one["data"]["name"], one["evaluation"]) == (weights, data, evaluation)
        and all(one["protocol"].get(name) == value for name, value in protocol.items())
    ]
    assert len(found) <= 1, (weights, data, evaluation, protocol)
    return found[0] if found else None


def same(cell: str, one: dict) -> None:
    """A cell ``accuracy (interval) / balanced accuracy (interval)`` says what the result does."""
    match = PAIR.search(cell.replace("**", ""))
    assert match, cell
    for metric, value, written in (("accuracy", 1, 2), ("balanced_accuracy", 3, 4)):
        assert match[value] == f"{100 * one['metrics'][metric]:.1f}", cell
        if match[written]:
            low, high = one["interval"][metric]
            assert match[written] == f"{100 * low:.1f} to {100 * high:.1f}", cell


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    lines = PAGE[PAGE.index(f"\n{heading}\n") :].split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("| ---"))
    table = lines[start + 1 :]
    return [cells_of(line) for line in table[: next(i for i, line in enumerate(table) if "|" not in line)]]


PROTOCOLS = {
    "HAM10000, 5 lesion folds, KNN, k = 100": ("HAM10000", "knn", {"k": 100, "split": "lesion"}),
    "the same folds, linear, strength chosen": ("HAM10000", "frozen", {"fraction": 1.0, "split": "lesion"}),
    "the same folds, fine-tuned, 3 passes": ("HAM10000", "finetune", {"epochs": 3}),
    "the same folds, fine-tuned, 20 passes": ("HAM10000", "finetune", {"epochs": 20}),
    "HAM_clean, KNN, k = 11": ("HAM_clean", "knn", {"k": 11}),
    "HAM_clean, linear, strength chosen": ("HAM_clean", "frozen", {}),
    "HAM_clean, fine-tuned, 3 passes": ("HAM_clean", "finetune", {"epochs": 3}),
}


def test_the_proof_table():
    table = rows("## tf_efficientnet_lite0.dermssl_ham10000_isic")
    assert [row[0] for row in table] == list(PROTOCOLS)
    for what, px, *cells in table:
        data, evaluation, protocol = PROTOCOLS[what]
        for weights, cell in zip((RANDOM, IMAGENET, OURS), cells, strict=True):
            one = result(weights, data, evaluation, image_size=int(px), **protocol)
            assert one is not None or weights != OURS, what
            if one is not None:
                same(cell, one)


@pytest.mark.parametrize("heading", ["### Few labels, Lite0", "### Other cameras, Lite0"])
def test_few_labels_and_cameras(heading):
    table = rows(heading)
    assert len(table) == 4
    for what, *cells in table:
        if heading.startswith("### Few"):
            protocol = {"evaluation": "frozen", "fraction": int(what.removesuffix(" %")) / 100}
            several = zip((RANDOM, IMAGENET, OURS), cells, strict=True)
        else:
            protocol = {"evaluation": "knn", "test": what}
            several = zip((IMAGENET, OURS), cells[2:], strict=True)
        for weights, cell in several:
            one = result(weights, "HAM10000", **protocol)
            assert one, (weights, what)
            same(cell, one)


def test_the_rows_of_the_readme():
    checked = 0
    for line in README.split("\n"):
        name, *cells = cells_of(line) or [""]
        weights = {"**dermssl EfficientNet-Lite0**": OURS, "EfficientNet-Lite0, ImageNet": IMAGENET}.get(name)
        if not weights:
            continue
        px, use, split, figures, _ = cells
        evaluation, epochs = ("frozen", None) if use == "linear" else ("finetune", int(use.split()[1]))
        known = {"image_size": int(px), "epochs": epochs, "fraction": 1.0}
        one = result(weights, {"lesion folds": "HAM10000"}.get(split, split), evaluation, **known)
        if one:
            same(figures, one)
            checked += 1
    assert checked >= 5


def test_the_line_in_the_folder_of_weights():
    page = (ROOT / "hub/README.md").read_text()
    (line,) = [line for line in page.split("\n") if line.startswith("| `tf_efficientnet_lite0")]
    figures = [
        f"{100 * found['metrics']['accuracy']:.1f} %"
        for evaluation, protocol in (("knn", {"k": 100, "split": "lesion"}), ("finetune", {"epochs": 20}))
        for weights in (OURS, IMAGENET)
        if (found := result(weights, "HAM10000", evaluation, **protocol))
    ]
    assert re.findall(r"\d+\.\d %", line) == figures
