"""``PROVENANCE.md``: how a set of weights was made, so that somebody else can make it again."""

import re
import shlex
from typing import Any

from dermssl.backbones.convert import CONVERTED
from dermssl.data.known import KNOWN
from dermssl.evaluation.kinds import KINDS
from dermssl.hub.markdown import code, fenced, text
from dermssl.hub.wording import THIS

# protocol key of a report -> option of the command that made it
_EVALUATION_OPTIONS = (
    "k",
    "weighting",
    "recipe",
    "epochs",
    "split",
    "folds",
    "fraction",
    "seed",
    "image_size",
    "fit",
    "test",
)


def provenance(config: dict[str, Any], sha256: str, name: str) -> str:
    """The text of ``PROVENANCE.md``.

    Args:
        config: of an export, as ``read_export`` gives it: timm's fields, and the whole record under ``dermssl``.
        sha256: of ``model.safetensors``.
        name: of the set of weights.
    """
    record = config["dermssl"]
    data, training, settings = record["data"], record["training"], record["settings"]
    peers, before = record["peers"], record["before"]
    runs = {THIS: f"runs/{name}", **{peer: _place(peer, name) for peer in peers}}
    starts = {run["name"]: _place(run["name"], name) for run in before}
    commands = [
        *(_before(run, starts) for run in before),
        _pretrain(data["folder"], runs[THIS], _started(settings, starts)),
        *(_pretrain(made["folder"], runs[peer], made["settings"]) for peer, made in peers.items()),
        *filter(None, (_evaluate(result, runs) for result in record["results"])),
    ]
    facts = {
        "weights": f"`model.safetensors`, sha256 `{sha256}`",
        "images": f"{text(data['name'])}, {data['images']} images, {text(data.get('problems'))} files unreadable, "
        "missing or copies",
        "hash of the records": code(data["content_hash"]),
        "seed": text(settings["seed"]) if settings.get("seed") is not None else None,
        "machine": text(training["hardware"]) if training.get("hardware") else None,
        "started": text(training["started"]) if training.get("started") else None,
        "time of training": f"{training.get('seconds')} s",
        "versions": text(", ".join(f"{key} {value}" for key, value in record["versions"].items())),
    }
    lines = [
        f"# How {text(name)} was made",
        "",
        *(f"- {key}: {value}" for key, value in facts.items() if value is not None),
        "",
        "Commands, with every option that was in force; the data folders are where you keep them:",
        "",
        fenced("\n".join([*commands, _export(record, runs[THIS], name)])),
        "",
        "On one kind of CPU the same versions give the same weights to the bit. Elsewhere the last digits of each step "
        "differ, and training enlarges that: expect other weights of the same quality.",
    ]
    return "\n".join(lines) + "\n"


def stated_sha256(page: str) -> str | None:
    """The SHA-256 of the weights that a ``PROVENANCE.md`` names."""
    found = re.search(r"sha256 `([0-9a-f]{64})`", page)
    return found and found[1]


def _place(run: str, name: str) -> str:
    """Where the commands write another run than the one called ``name``, which may be called so, too."""
    return f"runs/{run}" if run != name else f"runs/{run}-other"


def _before(run: dict[str, Any], starts: dict[str, str]) -> str:
    """The command that made the weights which another run starts from."""
    folder, place = run["data"]["folder"], starts[run["name"]]
    if CONVERTED not in run:
        return _pretrain(folder, place, _started(run["settings"], starts))
    made = {**run[CONVERTED], "license": run["license"]}
    of_channels = {key: ",".join(f"{value:g}" for value in made[key]) for key in ("mean", "std") if made.get(key)}
    options = [_option(key, value) for key, value in {**made, **of_channels}.items() if value is not None]
    return " ".join(["dermssl export", _argument(folder), shlex.quote(place), *options])


def _pretrain(folder: str, run: str, settings: dict[str, Any]) -> str:
    own = settings.get("method_options") or {}  # which a command takes one by one, as all others
    given = {**{key: value for key, value in settings.items() if key != "method_options"}, **own}
    first = sorted(given, key=lambda key: key != "method")
    options = [_option(key, given[key]) for key in first if given[key] is not None]
    return " ".join(["dermssl pretrain", _argument(folder), "--output", shlex.quote(run), *options])


def _argument(name: str) -> str:
    """A folder or weights as a command takes it: one whose name starts as an option does is none."""
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def _started(settings: dict[str, Any], starts: dict[str, str]) -> dict[str, Any]:
    """The settings with the run they start from where the commands before it write it."""
    return {**settings, "init": starts.get(settings.get("init") or "", settings.get("init"))}


def _option(key: str, value: Any) -> str:
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"


def _export(record: dict[str, Any], run: str, name: str) -> str:
    licensed = [_option("license", record["license"])] if record["license"] else []
    sources = [] if record["data"]["layout"] in KNOWN else record["attribution"]  # those of a known set are known
    described = record["data"].get("description")
    options = [*licensed, *(_option("attribution", source) for source in sources)]
    options += [_option("description", described)] if described else []
    return " ".join(["dermssl export", shlex.quote(run), shlex.quote(f"hub/{name}"), *options])


def _evaluate(result: dict[str, Any], runs: dict[str, str]) -> str | None:
    if result["evaluation"] not in KINDS:
        return None
    (command, *flags), protocol = KINDS[result["evaluation"]].command, result["protocol"]
    weights = runs.get(result["weights"], result["weights"])
    parts = ["dermssl", command, _argument(weights), _argument(result["data"]["train_folder"])]
    parts += flags
    no_option = ("split", "folds") if protocol.get("test") else ()  # there are no folds beside a test set
    for key in _EVALUATION_OPTIONS:
        if protocol.get(key) is not None and key not in no_option:
            parts += [f"--{key.replace('_', '-')}", shlex.quote(str(protocol[key]))]
    return " ".join([*parts, "--json"])
