"""The part of a model card that says how good the features are."""

from typing import Any

# metric -> column of the card's table
COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "F1, macro",
    "auroc_macro": "AUROC, macro",
}

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


def results_section(results: list[dict[str, Any]]) -> str:
    """A table for each way of evaluating, with what the same evaluation gave for other weights below it."""
    if not any(result["own"] for result in results):
        return "## Results\n\nNo evaluation was recorded with these weights: nothing is known of how good they are."
    parts = [
        "## Results",
        "In percent: mean of the folds, ± their standard deviation, and the 95 % interval of a bootstrap over lesions.",
    ]
    for same in _alike(results):
        if any(result["own"] for result in same):
            parts += [f"### {_heading(same[0])}", _protocol(same[0]), _table(same), *_notes(same)]
    return "\n\n".join(parts)


def _alike(results: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Results that may be compared: one evaluation, one protocol, the same images."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        data = result["data"]
        key = str((result["evaluation"], sorted(result["protocol"].items(), key=str), data.get("content_hash")))
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _heading(result: dict[str, Any]) -> str:
    kinds = {"knn": "Nearest neighbours, features as they are", "finetune": "Whole network fine-tuned"}
    title = kinds.get(
        result["evaluation"], {"frozen": "Linear classifier on frozen features"}.get(result["evaluation"])
    )
    return f"{title or result['evaluation']}: {result['data']['name']}"


def _protocol(result: dict[str, Any]) -> str:
    data = result["data"]
    counts = f"{data['images']:,} images" if data.get("images") else "images"
    counts += f" of {data['groups']:,} lesions" if data.get("groups") else ""
    classes = ", ".join(f"{name} {number:,}" for name, number in (data.get("classes") or {}).items())
    values = ", ".join(
        f"{key.replace('_', ' ')} {value}"
        for key, value in result["protocol"].items()
        if isinstance(value, str | int | float) and key != "evaluation"
    )
    return f"{counts}{f' ({classes})' if classes else ''}. Protocol: {values}."


def _table(results: list[dict[str, Any]]) -> str:
    shown = [key for key in COLUMNS if any((result["metrics"] or {}).get(key) is not None for result in results)]
    lines = [
        "| weights | " + " | ".join(COLUMNS[key] for key in shown) + " |",
        "| --- |" + " --- |" * len(shown),
    ]
    for result in results:
        name = "**this model**" if result["own"] else f"`{result['weights']}`"
        lines.append(f"| {name} | " + " | ".join(_cell(result, key) for key in shown) + " |")
    majority = results[0].get("majority_accuracy")
    classes = len(results[0]["data"].get("classes") or ())
    if majority is not None:
        cells = {"accuracy": f"{100 * majority:.1f}"}
        if classes:
            cells["balanced_accuracy"] = f"{100 / classes:.1f}"
        lines.append("| always the most frequent class | " + " | ".join(cells.get(key, "") for key in shown) + " |")
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
