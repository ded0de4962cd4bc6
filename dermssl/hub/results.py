"""The part of a model card that says how good the features are."""

from pathlib import PurePath
from typing import Any
from urllib.parse import quote

# metric -> column of the card's table
COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "F1, macro",
    "auroc_macro": "AUROC, macro",
}

TITLES = {
    "knn": "Nearest neighbours, features as they are",
    "frozen": "Linear classifier on frozen features",
    "finetune": "Whole network fine-tuned",
}
# how the card calls the weights that it is about
THIS = "this model"
# what differs between evaluations with more and with fewer labels: the recipe too, as steps are counted by image
_OF_THE_SHARE = ("fraction", "train_images", "training")
# what an evaluation found for the weights themselves, not how it asked: the strength that the training folds chose
_OF_THE_WEIGHTS = ("strength", "feature_width")

BIBTEX = """\
@article{liu2023dermoscopic,
  title   = {Dermoscopic images classification based on context and instance-level feature of self-supervised learning},
  author  = {Liu, Jiaxuan and Hu, Feiyi and Zhang, Hui and Zhang, Jinzhou and Li, Ling},
  journal = {CAAI Transactions on Intelligent Systems},
  volume  = {18},
  number  = {4},
  pages   = {783--792},
  year    = {2023}
}"""
SOFTWARE = """\
@software{dermssl,
  title   = {dermssl: self-supervised pretraining of timm backbones on dermoscopy images},
  author  = {{The dermssl developers}},
  version = {VERSION}
}"""


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
    shown = [f"![{PurePath(name).stem.replace('-', ' ')}]({quote(name)})" for name in figures]
    return "\n\n".join(["## Figures", *shown])


def has_few_labels(result: dict[str, Any]) -> bool:
    """Whether an evaluation used a part of the training labels only."""
    return float(result["protocol"].get("fraction") or 1) < 1


def _alike(results: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Results that stand in one table: one evaluation, one protocol, the same images.

    Those with a part of the labels make a table together, whatever the part, after those with all; other test sets
    come last.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in sorted(results, key=lambda result: (bool(result["protocol"].get("test")), has_few_labels(result))):
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
    for name, peer in record.get("peers", {}).items():
        others = {key: value for key, value in peer["settings"].items() if value != record["settings"].get(key)}
        if peer["folder"] != record["data"]["folder"]:
            others["images"] = peer["folder"]
        but = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in others.items())
        lines.append(f"- `{name}` was trained as this model was{f', but for {but}' if but else ''}.")
    return ["\n".join(lines)] if lines else []


def _heading(result: dict[str, Any]) -> str:
    title = TITLES.get(result["evaluation"], result["evaluation"])
    test = result["protocol"].get("test")
    few = ", few labels" if has_few_labels(result) else ""
    return f"{title}{few}: {result['data']['name']}{f', tested on {test}' if test else ''}"


def _protocol(result: dict[str, Any]) -> str:
    data = result["data"]
    counts = f"{data['images']:,} images" if data.get("images") else "images"
    counts += f" of {data['groups']:,} lesions" if data.get("groups") else ""
    classes = ", ".join(f"{name} {number:,}" for name, number in (data.get("classes") or {}).items())
    values = ", ".join(
        f"{key.replace('_', ' ')} {value}"
        for key, value in result["protocol"].items()
        if isinstance(value, str | int | float)
        and key not in ("evaluation", *_OF_THE_WEIGHTS)
        and not (key in _OF_THE_SHARE and has_few_labels(result))
    )
    return f"{counts}{f' ({classes})' if classes else ''}. Protocol: {values}."


def _table(results: list[dict[str, Any]]) -> str:
    shown = [key for key in COLUMNS if any((result["metrics"] or {}).get(key) is not None for result in results)]
    lines = [
        "| weights | " + " | ".join(COLUMNS[key] for key in shown) + " |",
        "| --- |" + " --- |" * len(shown),
    ]
    for result in results:
        lines.append(f"| {_called(result['weights'])} | " + " | ".join(_cell(result, key) for key in shown) + " |")
    majority = results[0].get("majority_accuracy")
    # recall is averaged over the classes that were tested: a set of images may lack some
    classes = sum(number > 0 for number in (results[0]["data"].get("classes") or {}).values())
    if majority is not None:
        cells = {"accuracy": f"{100 * majority:.1f}"}
        if classes:
            cells["balanced_accuracy"] = f"{100 / classes:.1f}"
        lines.append("| always the most frequent class | " + " | ".join(cells.get(key, "") for key in shown) + " |")
    return "\n".join(lines)


def _called(weights: str) -> str:
    return f"**{weights}**" if weights == THIS else f"`{weights.replace('|', '/')}`"


def _few_labels(results: list[dict[str, Any]]) -> str:
    """A line a share of the labels, accuracy and balanced accuracy of all weights side by side."""
    weights = list(dict.fromkeys(result["weights"] for result in results))
    by_share: dict[float, dict[str, dict[str, Any]]] = {}
    for result in results:
        by_share.setdefault(float(result["protocol"]["fraction"]), {})[result["weights"]] = result
    columns = [(name, key) for name in weights for key in ("accuracy", "balanced_accuracy")]
    head = " | ".join(f"{_called(name)}: {COLUMNS[key]}" for name, key in columns)
    lines = [f"| labels | {head} |", "| --- |" + " --- |" * len(columns)]
    for share, found in sorted(by_share.items()):
        cells = [_cell(found[name], key) if name in found else "" for name, key in columns]
        lines.append(f"| {100 * share:g} % | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(result: dict[str, Any], key: str) -> str:
    value = (result["metrics"] or {}).get(key)
    if value is None:
        return ""
    text = f"{100 * value:.1f}"
    deviation = (result["std"] or {}).get(key)
    text += "" if deviation is None else f" ± {100 * deviation:.1f}"
    low, high = ((result["interval"] or {}).get(key) or (None, None))[:2]
    return text if low is None or high is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


def _notes(results: list[dict[str, Any]]) -> list[str]:
    notes = dict.fromkeys(note for result in results for note in result["notes"])
    return ["\n".join(f"- Note: {note}." for note in notes)] if notes else []
