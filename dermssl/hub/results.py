"""The part of a model card that says how good the features are."""

from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from dermssl.evaluation.kinds import KINDS
from dermssl.evaluation.metrics import TITLES
from dermssl.hub.markdown import code, text
from dermssl.hub.wording import THIS, Result, figure, has_few_labels, main_first, share_of_labels
from dermssl.tables import markdown_table

# the columns of a table
COLUMNS = ("accuracy", "balanced_accuracy", "f1_macro", "auroc_macro")
# what differs between evaluations with more and with fewer labels: the recipe too, as steps are counted by image
_OF_THE_SHARE = ("fraction", "train_images", "training")
# what an evaluation found for the weights themselves, not how it asked: the strength that the training folds chose
_OF_THE_WEIGHTS = ("strength", "feature_width")


def results_section(record: dict[str, Any]) -> str:
    """A table for each way of evaluating, with what the same evaluation gave for other weights below it."""
    results = record["results"]
    if not any(result["own"] for result in results):
        return "## Results\n\nNo evaluation was recorded with these weights: nothing is known of how good they are."
    parts = [
        "## Results",
        "In percent: mean of the folds, ± their standard deviation, and the 95 % interval of a bootstrap over lesions.",
        *_peers(record),
    ]
    for same in _alike(results):
        if any(result["own"] for result in same):
            table = _few_labels(same) if has_few_labels(same[0]) else _table(same)
            parts += [f"### {_heading(same[0])}", _protocol(same[0]), table, *_notes(same)]
    return "\n\n".join(parts)


def figures_section(figures: list[str]) -> str:
    """The pictures that go along, each called by its file's name."""
    shown = [f"![{text(PurePath(name).stem.replace('-', ' '))}]({quote(name)})" for name in figures]
    return "\n\n".join(["## Figures", *shown])


def _alike(results: list[Result]) -> list[list[Result]]:
    """Results that stand in one table: one evaluation, one protocol, the same images.

    The main figures come first. Those with a part of the labels make a table together, whatever the part.
    """
    groups: dict[str, list[Result]] = {}
    for result in main_first([r for r in results if r["own"]]) + [r for r in results if not r["own"]]:
        few = has_few_labels(result)
        apart = _OF_THE_WEIGHTS + (_OF_THE_SHARE if few else ())
        protocol = _without(result["protocol"], apart)
        key = str((result["evaluation"], few, sorted(protocol.items(), key=str), result["data"].get("content_hash")))
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _without(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The values but for those of ``names``, also inside of parameters that have parts, such as ``training``."""
    kept = ((key, value) for key, value in values.items() if key not in names)
    return {key: _without(value, names) if isinstance(value, dict) else value for key, value in kept}


def _peers(record: dict[str, Any]) -> list[str]:
    """In what the training of other runs in the tables differs from that of this model."""
    lines = []
    for name, peer in record["peers"].items():
        others = {key: value for key, value in peer["settings"].items() if value != record["settings"].get(key)}
        if peer["folder"] != record["data"]["folder"]:
            others["images"] = peer["folder"]
        but = text(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in others.items()))
        lines.append(f"- {code(name)} was trained as this model was{f', but for {but}' if but else ''}.")
    return ["\n".join(lines)] if lines else []


def _heading(result: Result) -> str:
    name = result["evaluation"]
    title = KINDS[name].title if name in KINDS else text(name)
    test = result["protocol"].get("test")
    more = ", few labels" if has_few_labels(result) else ""
    if result["protocol"].get("epochs"):  # the same network, trained for longer, is a table of its own
        more += f", {result['protocol']['epochs']} epochs"
    return f"{title}{more}: {text(result['data']['name'])}{f', tested on {text(test)}' if test else ''}"


def _protocol(result: Result) -> str:
    data = result["data"]
    counts = f"{data['images']:,} images" if data.get("images") else "images"
    counts += f" of {data['groups']:,} lesions" if data.get("groups") else ""
    classes = ", ".join(f"{text(name)} {number:,}" for name, number in (data.get("classes") or {}).items())
    values = ", ".join(
        f"{text(key.replace('_', ' '))} {text(value)}"
        for key, value in result["protocol"].items()
        if isinstance(value, str | int | float)
        and key not in ("evaluation", *_OF_THE_WEIGHTS)
        and not (key in _OF_THE_SHARE and has_few_labels(result))
    )
    return f"{counts}{f' ({classes})' if classes else ''}. Protocol: {values}."


def _table(results: list[Result]) -> str:
    shown = [key for key in COLUMNS if any((result["metrics"] or {}).get(key) is not None for result in results)]
    rows = [[_called(result["weights"]), *(figure(result, key) for key in shown)] for result in results]
    majority = results[0].get("majority_accuracy")
    # recall is averaged over the classes that were tested: a set of images may lack some
    classes = sum(number > 0 for number in (results[0]["data"].get("classes") or {}).values())
    if majority is not None:
        cells = {"accuracy": f"{100 * majority:.1f}"}
        if classes:
            cells["balanced_accuracy"] = f"{100 / classes:.1f}"
        rows.append(["always the most frequent class", *(cells.get(key, "") for key in shown)])
    return markdown_table(["weights", *(TITLES[key] for key in shown)], rows, padded=False)


def _called(weights: str) -> str:
    return f"**{weights}**" if weights == THIS else code(weights)


def _few_labels(results: list[Result]) -> str:
    """A line for each share of the labels, accuracy and balanced accuracy of all weights side by side."""
    weights = list(dict.fromkeys(result["weights"] for result in results))
    by_share: dict[float, dict[str, Result]] = {}
    for result in results:
        by_share.setdefault(share_of_labels(result), {})[result["weights"]] = result
    columns = [(name, key) for name in weights for key in ("accuracy", "balanced_accuracy")]
    rows = [
        [f"{100 * share:g} %", *(figure(found[name], key) if name in found else "" for name, key in columns)]
        for share, found in sorted(by_share.items())
    ]
    header = ["labels", *(f"{_called(name)}: {TITLES[key]}" for name, key in columns)]
    return markdown_table(header, rows, padded=False)


def _notes(results: list[Result]) -> list[str]:
    notes = dict.fromkeys(note for result in results for note in result["notes"])
    return ["\n".join(f"- Note: {text(note)}." for note in notes)] if notes else []
