"""``dermssl info``"""

import json
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import weights_argument


@click.command()
@weights_argument(required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(weights: str | None, as_json: bool) -> None:
    """Tell about WEIGHTS: architecture, input, origin, results, licence. Without WEIGHTS: about this machine.

    WEIGHTS is a run directory, an exported directory, a .safetensors file, hf-hub:ORG/NAME, timm:NAME or random:NAME.
    """
    log_to_terminal()
    from dermssl.hub.info import describe, environment

    told = describe(weights) if weights else environment()
    if as_json:
        click.echo(json.dumps(told))
    elif weights:
        _show_weights(told)
    else:
        for part, values in told.items():
            _show(part, ", ".join(f"{k} {v}" for k, v in values.items()) if isinstance(values, dict) else values)


def _show_weights(told: dict[str, Any]) -> None:
    given = told["input"]
    _show(
        "architecture", f"{told['architecture']}, {told['parameters']:,} parameters, features {told['feature_width']}"
    )
    _show("input", ", ".join(f"{key} {value}" for key, value in given.items() if value is not None))
    _show("licence", told["license"] or "not specified")
    _show("sha256", told["sha256"])
    record = told["record"]
    if record is None:
        _show("origin", "not made by dermssl")
        return
    data, training = record["data"], record["training"]
    unfinished = "" if training.get("finished") else " (not finished)"
    _show("method", record["method"])
    _show("data", f"{data['name']}, {data['images']} images, hash {data['content_hash']}")
    _show(
        "training",
        f"{training.get('epochs')} epochs{unfinished}, {training.get('seconds')} s, {training.get('hardware')}",
    )
    _show("versions", ", ".join(f"{key} {value}" for key, value in record["versions"].items()))
    for result in record["results"]:
        figures = ", ".join(
            f"{key.replace('_', ' ')} {100 * result['metrics'][key]:.1f} %"
            for key in ("accuracy", "balanced_accuracy", "f1_macro")
            if (result["metrics"] or {}).get(key) is not None
        )
        _show("result", f"{result['weights']}, {result['evaluation']} on {result['data']['name']}: {figures}")


def _show(name: str, value: object) -> None:
    if value not in (None, ""):
        click.echo(f"{name + ':':<14}{value}")
