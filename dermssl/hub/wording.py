"""How the result of an evaluation is told: its protocol in words, its figures with what is known of their spread."""

from typing import Any

from dermssl.evaluation.kinds import KINDS

Result = dict[str, Any]

THIS = "this model"  # how a card calls the weights that it is about
MAIN_KINDS = ("knn", "frozen")
MAIN_METRICS = ("accuracy", "balanced_accuracy")


def has_few_labels(result: Result) -> bool:
    """Whether an evaluation used a part of the training labels only."""
    return share_of_labels(result) < 1


def share_of_labels(result: Result) -> float:
    """The part of the training labels that was used."""
    return float(result["protocol"].get("fraction") or 1)


def main_results(results: list[Result]) -> list[Result]:
    """The figures that weights are known by: nearest neighbours and frozen features, all labels, the data's own folds.

    Where there are none on folds or on the data's own division, those on separate test sets take their place.
    """
    own = [r for r in results if r["own"] and r["evaluation"] in MAIN_KINDS and not has_few_labels(r)]
    return [result for result in own if not result["protocol"].get("test")] or own


def main_first(results: list[Result]) -> list[Result]:
    """The results, the main ones before the others; those with few labels and on other test sets last."""
    main = [id(result) for result in main_results(results)]

    order = list(KINDS)

    def place(result: Result) -> tuple[bool, bool, bool, int, float]:
        test, name = bool(result["protocol"].get("test")), result["evaluation"]
        way = order.index(name) if name in KINDS else len(order)
        return id(result) not in main, test, has_few_labels(result), way, share_of_labels(result)

    return sorted(results, key=place)


def kind(result: Result) -> str:
    """The way of evaluating, for a cell."""
    name: str = result["evaluation"]
    return KINDS[name].short if name in KINDS else name


def division(result: Result) -> str:
    """How the images were divided into training and test."""
    protocol = result["protocol"]
    if protocol.get("test"):
        return f"tested on {protocol['test']}"
    if protocol.get("split") == "given":
        return "the data's own division"
    grouped = "grouped by lesion" if protocol.get("split") == "lesion" else "not grouped by lesion"
    return f"{protocol.get('folds')} folds {grouped}"


def left_out(result: Result) -> str:
    """What the training images lack on purpose, such as a camera; "" where nothing was left out."""
    train = str(result["data"].get("train_folder") or "")
    return train.removeprefix("all but ") if train.startswith("all but ") else ""


def setting(result: Result) -> str:
    """What a classifier was made with: neighbours, or passes over the training images."""
    protocol = result["protocol"]
    if protocol.get("k"):
        return f"k = {protocol['k']}"
    training = protocol.get("training")
    passes = protocol.get("epochs") or (training.get("epochs") if isinstance(training, dict) else None)
    return f"{passes} passes" if passes else ""


def size(result: Result) -> str:
    """The edge of the images that the network saw."""
    edge = result["protocol"].get("image_size")
    return f"{edge} px" if edge else ""


def figure(result: Result, metric: str, *, deviation: bool = True) -> str:
    """A figure in per cent, with its standard deviation over folds and its interval where they are known."""
    value = (result["metrics"] or {}).get(metric)
    if value is None:
        return ""
    spread = (result["std"] or {}).get(metric) if deviation else None
    low, high = (*((result["interval"] or {}).get(metric) or ()), None, None)[:2]
    within = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * value:.1f}{'' if spread is None else f' ± {100 * spread:.1f}'}{within}"
