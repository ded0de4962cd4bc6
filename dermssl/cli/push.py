"""``dermssl push``"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import PLACE, json_option, options_of
from dermssl.hub.arguments import PushOptions


@click.command()
@click.argument("run", type=PLACE)
@click.argument("repo_id", metavar="ORG/NAME")
@options_of(PushOptions)
@json_option("Print one JSON object.")
def command(run: Path, repo_id: str, as_json: bool, **options: Any) -> None:
    """Publish the backbone of RUN (a run or an export) on the Hugging Face Hub, as ORG/NAME.

    The repository is private unless --public is given. The token comes from HF_TOKEN or `hf auth login`. All files
    arrive in one commit or none; then timm loads the repository back and every tensor is compared.
    """
    log_to_terminal()
    from dermssl.hub.push import push

    result = push(run, repo_id, **options)
    if as_json:
        click.echo(json.dumps(asdict(result)))
        return
    for name, size in result.files.items():
        click.echo(f"{size:>12,} bytes  {name}")
    who = "private" if result.private else "public"
    if options["dry_run"]:
        click.echo(f"Would be pushed to {result.url} ({who}), with this card:\n\n{result.card}")
        return
    click.echo(f"Pushed to {result.url} ({who}), commit {result.commit}; timm loads it unchanged:")
    branch = options["revision"]
    at = f"@{options['tag'] or branch}" if options["tag"] or branch != "main" else ""
    click.echo(f'  timm.create_model("hf-hub:{repo_id}{at}", pretrained=True, num_classes=7)')
