"""The parts of a model card that say how the weights were trained, and on what."""

from typing import Any

from dermssl.backbones.convert import CONVERTED
from dermssl.hub.markdown import code, text
from dermssl.methods.registry import METHODS
from dermssl.tables import markdown_table

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
    "track",
}


def data_section(record: dict[str, Any]) -> str:
    """The images, and who they are the work of."""
    data, settings = record["data"], record["settings"]
    rows = {
        "set": _told(data["name"]),
        "what it is": _told(data.get("description")),
        "images used": count(images_used(record)),
        "images in the set": count(data["images"]),
        "files unreadable, missing or copies of others": _told(data.get("problems")),
        "labels": "not used",
        "made square by": _told(data.get("fit") or settings.get("fit")),
        "hash of the records": code(data["content_hash"]) if data["content_hash"] else "",
    }
    credits = "".join(f"\n- {text(source)}" for source in record["attribution"])
    return "## Training data\n\n" + _table(rows) + (f"\n\nThe images are the work of:\n{credits}" if credits else "")


def training_section(config: dict[str, Any], record: dict[str, Any]) -> str:
    """Method, settings, time and hardware."""
    settings, resolved, training = record["settings"], record["resolved"], record["training"]
    speed = training.get("images_per_second")
    rows = {
        "method": _told(_method(record["method"])),
        "architecture": code(config["architecture"]),
        "first weights": code(settings["init"]) if settings.get("init") else "random",
        **{f"before: {code(run['name'])}": text(_stage(run)) for run in record["before"]},
        "epochs": _told(training.get("epochs")),
        "steps": _told(training.get("steps")),
        "image size": f"{config['pretrained_cfg']['input_size'][-1]} px",
        **{
            key.replace("_", " "): _told(resolved.get(key, settings.get(key)))
            for key in ("batch_size", "lr", "momentum", "precision", "device")
        },
        **{
            text(key.replace("_", " ")): _told(value)
            for key, value in settings.items()
            if key not in _SAID_ELSEWHERE and value is not None
        },
        "time": duration(training.get("seconds")) or "",
        "speed in the last epoch": f"{speed} images/s" if speed else "",
        "hardware": _told(training.get("hardware")),
        "started": _told(training.get("started")),
        "versions": text(", ".join(f"{key} {value}" for key, value in record["versions"].items())),
        "last epoch": text(", ".join(_number(key, v) for key, v in training.get("last", {}).items())),
    }
    return "## Training\n\n" + _table(rows)


def images_used(record: dict[str, Any]) -> Any:
    """How many images it was trained on: fewer than the set has where ``--limit`` drew some."""
    return record["resolved"].get("images") or record["data"]["images"]


def count(number: Any) -> str:
    """A number of images in words."""
    return f"{number:,}" if isinstance(number, int) else "an unknown number of"


def duration(seconds: float | None) -> str | None:
    """A time in words."""
    if seconds is None:
        return None
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _stage(run: dict[str, Any]) -> str:
    """An earlier run in a cell: the rest of how it was trained is in the provenance."""
    if CONVERTED in run:
        return f"{run['data']['name']}, a checkpoint of another program"
    settings, training = run["settings"], run["training"]
    time = duration(training.get("seconds"))
    return (
        f"{settings.get('method')}, {run['data']['name']}, {training.get('epochs')} epochs ({training.get('steps')} "
        f"steps of {run['resolved'].get('batch_size')}) at {run['resolved'].get('image_size')} px"
        + (f", {time}" if time else "")
    )


def _method(name: str | None) -> str | None:
    return f"{METHODS[name].summary} ({METHODS[name].title})" if name is not None and name in METHODS else name


def _number(key: str, value: Any) -> str:
    shown = f"{value:.4g}" if isinstance(value, int | float) else str(value)
    return f"{key.replace('_', ' ')} {shown}"


def _told(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else text(value)


def _table(rows: dict[str, str]) -> str:
    return markdown_table(["", ""], [[key, value] for key, value in rows.items() if value], padded=False)
