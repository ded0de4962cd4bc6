"""The YAML at the head of a model card, which the Hub reads: licence, data, tags and the main figures."""

import re
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from dermssl.data.known import KNOWN
from dermssl.evaluation.metrics import TITLES
from dermssl.hub.wording import MAIN_METRICS, division, main_first, main_results, setting
from dermssl.privacy import printable

TAGS = ["timm", "dermssl", "dermatology", "dermoscopy", "medical", "self-supervised-learning"]
PIPELINE = "image-feature-extraction"


def front_matter(config: dict[str, Any], name: str) -> str:
    """The YAML, without the lines around it.

    Args:
        config: of an export, with the whole record under ``dermssl``.
        name: of the model, without ``ORG/``.
    """
    record = config["dermssl"]
    licensed = record["license"]
    results = [found for result in main_first(main_results(record["results"])) for found in _eval_results(result)]
    data = ModelCardData(
        license=licensed or "other",
        license_name=None if licensed else "unspecified",
        library_name="timm",
        pipeline_tag=PIPELINE,
        tags=[*TAGS, config["architecture"], *([record["method"]] if record["method"] else [])],
        datasets=[_id_of(record["data"]["layout"], record["data"]["name"])],
        model_name=printable(name) if results else None,
        eval_results=results or None,
    )
    yaml: str = data.to_yaml()
    return yaml


def _eval_results(result: dict[str, Any]) -> list[EvalResult]:
    """A result as entries of the model index, one for each metric, as fractions of 1."""
    how = printable(", ".join(filter(None, (result["evaluation"], setting(result), division(result)))))
    name = result["data"]["name"]
    return [
        EvalResult(
            task_type="image-classification",
            task_name=f"image classification ({how})",
            dataset_type=_id_of(result["data"].get("layout"), name),
            dataset_name=printable(name),
            dataset_config=how,
            metric_type=key,
            metric_name=TITLES[key],
            metric_value=round(result["metrics"][key], 4),
        )
        for key in MAIN_METRICS
        if (result["metrics"] or {}).get(key) is not None
    ]


def check_card(text: str) -> list[str]:
    """What is wrong with the front matter of a card; the Hub would refuse or ignore it."""
    try:
        data = ModelCard(text).data.to_dict()
    except Exception as error:  # YAML's and the Hub library's errors have no common base
        return [f"the front matter cannot be read: {error}"]
    wanted = {"library_name": "timm", "pipeline_tag": PIPELINE}
    problems = [f"{key} is {data.get(key)!r}, not {value!r}" for key, value in wanted.items() if data.get(key) != value]
    problems += [f"{key} is missing" for key in ("license", "tags") if not data.get(key)]
    if data.get("license") == "other" and not data.get("license_name"):
        problems.append("license is 'other' without license_name")
    return problems + _unnamable(data)


def _unnamable(front: dict[str, Any]) -> list[str]:
    """Names of data sets that the Hub answers with 400 (seen in autotrain-advanced#648)."""
    named = list(front.get("datasets") or [])
    named += [result["dataset"]["type"] for model in front.get("model-index") or [] for result in model["results"]]
    problems = []
    for name in dict.fromkeys(named):
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            problems.append(f"data set {name!r}: {error}")
    return problems


def _id_of(layout: str | None, name: str) -> str:
    """How the front matter of a card calls a set: in letters that the Hub takes for an identifier."""
    if layout in KNOWN:
        return KNOWN[layout].tag
    # as validate_repo_id has it: ASCII, no "--" or "..", at most 96, no ".git" at the end
    plain = re.sub(r"[^A-Za-z0-9]*(?:[^A-Za-z0-9_.-]|[-.]{2,})[^A-Za-z0-9]*", "-", name)[:96].strip("-._")
    return plain.removesuffix(".git").strip("-._") or "unnamed"
