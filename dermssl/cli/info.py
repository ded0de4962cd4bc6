"""``dermssl info``"""

import json
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import json_option, weights_argument


@click.command()
@weights_argument(required=False)
@json_option("Print one JSON object.")
def command(weights: str | None, as_json: bool) -> None:
    """Describe WEIGHTS: architecture, input, origin, results, licence. Without WEIGHTS: describe this machine."""
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
    _show_results(record["results"])


def _show_results(results: list[dict[str, Any]]) -> None:
    """One table: the main figures first, each with what it depends on."""
    from dermssl.evaluation.metrics import TITLES
    from dermssl.hub import wording
    from dermssl.tables import markdown_table

    own = [result for result in results if result["own"]]
    if not own:
        _show("results", "none recorded")
        return
    columns = {
        "evaluation": wording.kind,
        "data set": lambda result: str(result["data"]["name"]),
        "images": lambda result: f"{result['data']['images']:,}" if result["data"].get("images") else "",
        "division": wording.division,
        "left out": wording.left_out,
        "labels": lambda result: f"{100 * wording.share_of_labels(result):g} %",
        "with": wording.setting,
        "size": wording.size,
    }
    rows = [
        [
            *(told(result) for told in columns.values()),
            *(wording.figure(result, metric, deviation=False) for metric in wording.MAIN_METRICS),
        ]
        for result in wording.main_first(own)
    ]
    header = [*columns, *(f"{TITLES[metric]}, %" for metric in wording.MAIN_METRICS)]
    click.echo("\nResults, with 95 % intervals:\n")
    # a column in which nothing stands says nothing
    used = [i for i in range(len(header)) if any(row[i] for row in rows)]
    click.echo(markdown_table([header[i] for i in used], [[row[i] for i in used] for row in rows]))
    if len(own) < len(results):
        click.echo(f"\n{len(results) - len(own)} results of weights it was compared with: --json")


def _show(name: str, value: object) -> None:
    if value not in (None, ""):
        click.echo(f"{name + ':':<14}{value}")
