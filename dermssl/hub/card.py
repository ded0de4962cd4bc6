"""The model card, written from an exported ``config.json`` alone."""

import math
import textwrap
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from dermssl import __version__
from dermssl.data.known import KNOWN
from dermssl.hub.datasets import id_of
from dermssl.hub.results import BIBTEX, SOFTWARE, figures_section, has_few_labels, results_section
from dermssl.methods.registry import METHODS
from dermssl.privacy import harmless

TAGS = ["timm", "dermssl", "dermatology", "dermoscopy", "medical", "self-supervised-learning"]
PIPELINE = "image-feature-extraction"
PAPER_SEEN = 200 * 33_126  # epochs and images of the paper's pretraining
# metric of a report -> type and name of it in the model index
INDEXED = {
    "accuracy": ("accuracy", "accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "balanced accuracy"),
    "f1_macro": ("f1", "F1, macro"),
    "auroc_macro": ("roc_auc", "AUROC, macro one-vs-rest"),
}


def card(config: dict[str, Any], name: str) -> str:
    """The text of ``README.md``.

    Args:
        config: content of an exported ``config.json``, with its ``dermssl`` block.
        name: ``ORG/NAME`` on the Hub; a name without ORG is shown as ``ORG/NAME``, to be filled in by ``push``.
    """
    record = harmless(config["dermssl"])
    repository = name if "/" in name else f"ORG/{name}"
    sections = [
        _title(config, record, name.rpartition("/")[2]),
        _use(config, repository),
        _data(record),
        _training(config, record),
        results_section(record),
        *([figures_section(record["figures"])] if record.get("figures") else []),
        _limits(record),
        _license(record),
        _citation(record),
    ]
    front = _front_matter(config, record, name.rpartition("/")[2]).to_yaml()
    return f"---\n{front}\n---\n\n" + "\n\n".join(sections) + "\n"


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


def _front_matter(config: dict[str, Any], record: dict[str, Any], name: str) -> ModelCardData:
    licensed = record["license"]
    whole = [result for result in record["results"] if result["own"] and not has_few_labels(result)]
    results = [found for result in whole for found in _eval_results(result)]
    return ModelCardData(
        license=licensed or "other",
        license_name=None if licensed else "unspecified",
        library_name="timm",
        pipeline_tag=PIPELINE,
        tags=[*TAGS, config["architecture"], *([record["method"]] if record["method"] else [])],
        datasets=[id_of(record["data"]["layout"], record["data"]["name"])],
        metrics=sorted({found.metric_type for found in results}) or None,
        model_name=name if results else None,
        eval_results=results or None,
    )


def _eval_results(result: dict[str, Any]) -> list[EvalResult]:
    """A report as entries of the model index, one for each metric, as fractions of 1."""
    protocol = result["protocol"]
    how = result["evaluation"]
    if protocol.get("k"):
        how += f", k = {protocol['k']}"
    how += f", test set {protocol['test']}" if protocol.get("test") else f", {_folds(protocol)}"
    return [
        EvalResult(
            task_type="image-classification",
            task_name=f"image classification ({how})",
            dataset_type=id_of(result["data"].get("layout"), result["data"]["name"]),
            dataset_name=result["data"]["name"],
            dataset_config=how,
            metric_type=kind,
            metric_name=title,
            metric_value=round(result["metrics"][key], 4),
        )
        for key, (kind, title) in INDEXED.items()
        if (result["metrics"] or {}).get(key) is not None
    ]


def _folds(protocol: dict[str, Any]) -> str:
    if protocol.get("split") == "given":
        return "the data's own division"
    grouped = "grouped by lesion" if protocol.get("split") == "lesion" else "not grouped by lesion"
    return f"{protocol.get('folds')} folds {grouped}"


def _title(config: dict[str, Any], record: dict[str, Any], name: str) -> str:
    data = record["data"]
    training, planned = record["training"], record["settings"].get("epochs")
    of = f" of {planned}" if planned else ""
    stopped = f"\n\n**The training was not finished**: {training.get('epochs')}{of} epochs."
    unfinished = "" if training.get("finished") else stopped
    return (
        f"# {name}\n\n"
        f"A `{config['architecture']}` backbone pretrained without labels on {_count(_used(record))} dermoscopy "
        f"images ({data['name']}) by dermssl {record['versions'].get('dermssl', __version__)}. It turns an image into "
        f"a vector of features and has no classifier. timm loads it with one line; nothing else is needed.{unfinished}"
    )


def _use(config: dict[str, Any], repository: str) -> str:
    cfg = config["pretrained_cfg"]
    code = textwrap.dedent(
        f"""\
        import timm
        import torch
        from PIL import Image

        name = "hf-hub:{repository}"

        # classify: a new, untrained classifier on the pretrained backbone, to be fine-tuned
        model = timm.create_model(name, pretrained=True, num_classes=7)

        # embeddings: one vector per image
        model = timm.create_model(name, pretrained=True).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
        with torch.inference_mode():
            embedding = model(transform(Image.open("image.jpg").convert("RGB")).unsqueeze(0))

        # features: the maps of every level, for segmentation or detection
        model = timm.create_model(name, pretrained=True, features_only=True)
        """
    )
    size = cfg["input_size"][-1]
    return (
        f"## Use\n\n```python\n{code}```\n\n"
        f"The preprocessing is in the model's configuration and must be used: {size} x {size} px "
        f"({'the whole image, squashed' if cfg['crop_mode'] == 'squash' else 'the middle square'}), "
        f"mean {_numbers(cfg['mean'])}, std {_numbers(cfg['std'])}."
    )


def _data(record: dict[str, Any]) -> str:
    data, settings = record["data"], record["settings"]
    rows = {
        "set": data["name"],
        "what it is": data.get("description"),
        "images used": _count(_used(record)),
        "images in the set": _count(data["images"]),
        "files unreadable, missing or copies of others": data["problems"],
        "labels": "not used",
        "made square by": data.get("fit") or settings.get("fit"),
        "hash of the records": f"`{data['content_hash']}`" if data["content_hash"] else None,
    }
    credits = "".join(f"\n- {source}" for source in record["attribution"])
    return "## Training data\n\n" + _table(rows) + (f"\n\nThe images are the work of:\n{credits}" if credits else "")


def _training(config: dict[str, Any], record: dict[str, Any]) -> str:
    settings, resolved, training = record["settings"], record["resolved"], record["training"]
    rows = {
        "method": _method(record["method"]),
        "architecture": f"`{config['architecture']}`",
        "first weights": f"`{settings['init']}`" if settings.get("init") else "random",
        **{f"before: `{run['name']}`": _stage(run) for run in record.get("before", [])},
        "epochs": training.get("epochs"),
        "steps": training.get("steps"),
        "image size": f"{config['pretrained_cfg']['input_size'][-1]} px",
        **{
            key.replace("_", " "): resolved.get(key, settings.get(key))
            for key in ("batch_size", "lr", "momentum", "precision", "device")
        },
        **{
            key.replace("_", " "): value
            for key, value in settings.items()
            if key not in _SAID_ELSEWHERE and value is not None
        },
        "time": _duration(training.get("seconds")),
        "speed in the last epoch": f"{training['images_per_second']} images/s"
        if training.get("images_per_second")
        else None,
        "hardware": training.get("hardware"),
        "started": training.get("started"),
        "versions": ", ".join(f"{key} {value}" for key, value in record["versions"].items()),
        "last epoch": ", ".join(f"{key.replace('_', ' ')} {v:.4g}" for key, v in training.get("last", {}).items()),
    }
    return "## Training\n\n" + _table(rows)


def _stage(run: dict[str, Any]) -> str:
    """An earlier run in a cell: the rest of how it was trained is in the provenance."""
    settings, training = run["settings"], run["training"]
    time = _duration(training.get("seconds"))
    return (
        f"{settings.get('method')}, {run['data']['name']}, {training.get('epochs')} epochs ({training.get('steps')} "
        f"steps of {run['resolved'].get('batch_size')}) at {run['resolved'].get('image_size')} px"
        + (f", {time}" if time else "")
    )


# settings that have a row of their own, or that say nothing about the weights
_SAID_ELSEWHERE = {
    "method",
    "backbone",
    "init",
    "epochs",
    "image_size",
    "fit",
    "batch_size",
    "lr",
    "momentum",
    "precision",
    "device",
    "workers",
    "eval_data",
    "eval_every",
    "limit",
}


def _limits(record: dict[str, Any]) -> str:
    return textwrap.dedent(
        f"""\
        ## Intended use and limits

        For research: as a starting point for classifiers, for retrieval and for looking at sets of dermoscopy images.

        - **Not a medical device.** It makes no diagnosis, and nothing built on it does so without a clinical study of
          its own.
        - It has seen {record["data"]["name"]} only. Skin tones, body sites, age groups, diagnoses, cameras and
          clinics that are rare or absent there are not covered; public dermoscopy sets show mostly light skin.
          Measure on images of your own patients, group by group, before you rely on a figure.
        - It was made for dermoscopy, not for clinical photographs taken from a distance, nor for histology.
        - Rulers, ink, hair, gel and vignettes are in the images it learned from, and it may have learned them.
        - Where the evaluation images come from the set it was pretrained on, it has seen them (without labels): the
          figures above may then be better than on other images."""
    ) + _budget(record)


def _budget(record: dict[str, Any]) -> str:
    """What a training shorter than half of the paper's has to say of itself."""
    seen = sum(map(_seen, [*record.get("before", []), record]))
    if seen > PAPER_SEEN / 2:
        return ""
    size = record["resolved"].get("image_size")
    return "\n" + textwrap.dedent(
        f"""\
        - **A small budget**: it was shown {seen:,} images at {size} px; the paper's training
          shows {PAPER_SEEN:,} at 224 px. Expect more of a longer one."""
    )


def _seen(run: dict[str, Any]) -> float:
    """Images that a run has shown: made; planned where nothing tells; without end where nothing was planned."""
    resolved = run["resolved"]
    return run["training"].get("steps", resolved.get("steps", math.inf)) * resolved.get("batch_size", math.inf)


def _license(record: dict[str, Any]) -> str:
    if record["license"] is None:
        return (
            "## Licence\n\n**Not specified.** It is not known what the licence of the images allows; ask whoever made "
            "these weights before you use them."
        )
    credit = " Name the sources of the images as above." if record["attribution"] else ""
    why = ", as the images it was trained on" if record["data"]["layout"] in KNOWN else ""
    return f"## Licence\n\n`{record['license']}`{why}.{credit}"


def _method(name: str | None) -> str | None:
    return f"{METHODS[name].summary} ({METHODS[name].title})" if name is not None and name in METHODS else name


def _citation(record: dict[str, Any]) -> str:
    software = SOFTWARE.replace("VERSION", record["versions"].get("dermssl", __version__))
    name = record["method"]
    paper = METHODS[name].citation if name in METHODS else ""
    method = f"The method: {paper}.\n\n" if paper else ""
    bibtex = f"```bibtex\n{BIBTEX}\n```\n\n" if name == "rotinstdisc" else ""
    return f"## Citation\n\n{method}{bibtex}The software:\n\n```bibtex\n{software}\n```"


def _table(rows: dict[str, Any]) -> str:
    lines = ["| | |", "| --- | --- |"]
    lines += [f"| {key} | {_cell(value)} |" for key, value in rows.items() if value not in (None, "")]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _used(record: dict[str, Any]) -> Any:
    """How many images it was trained on: fewer than the set has where ``--limit`` drew some."""
    return record["resolved"].get("images") or record["data"]["images"]


def _count(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int) else "an unknown number of"


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _numbers(values: list[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
