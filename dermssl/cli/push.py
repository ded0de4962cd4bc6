"""``dermssl push``"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dermssl.cli.logs import log_to_terminal
from dermssl.cli.parse import PLACE


@click.command()
@click.argument("run", type=PLACE)
@click.argument("repo_id", metavar="ORG/NAME")
@click.option("--public", is_flag=True, help="Let everybody read it.  [default: private]")
@click.option("--endpoint", metavar="URL", help="Address of the Hub.  [default: $HF_ENDPOINT, or huggingface.co]")
@click.option("--dry-run", is_flag=True, help="Show the files and the card; ask nothing of the Hub.")
@click.option("--force", is_flag=True, help="Push into a repository that holds something else; move the tag.")
@click.option("--revision", default="main", show_default=True, help="Branch; made if it is not there.")
@click.option("--tag", help="Name for the commit, such as v1.")
@click.option("--message", help="Of the commit.")
@click.option("--license", metavar="ID", help="Licence of the weights.  [default: that of the images, if known]")
@click.option("--attribution", metavar="TEXT", multiple=True, help="Source of the images; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: Path, repo_id: str, as_json: bool, dry_run: bool, **options: Any) -> None:
    """Publish the backbone of RUN (a run or an export) on the Hugging Face Hub, as ORG/NAME.

    The repository is private unless --public is given. The token comes from HF_TOKEN or `hf auth login`. All files
    arrive in one commit or none; then timm loads the repository back and every tensor is compared.
    """
    log_to_terminal()
    from dermssl.hub.push import push

    result = push(run, repo_id, dry_run=dry_run, **options)
    if as_json:
        click.echo(json.dumps(asdict(result)))
        return
    for name, size in result.files.items():
        click.echo(f"{size:>12,} bytes  {name}")
    who = "private" if result.private else "public"
    if dry_run:
        click.echo(f"Would be pushed to {result.url} ({who}), with this card:\n\n{result.card}")
        return
    click.echo(f"Pushed to {result.url} ({who}), commit {result.commit}; timm loads it unchanged:")
    branch = options["revision"]
    at = f"@{options['tag'] or branch}" if options["tag"] or branch != "main" else ""
    click.echo(f'  timm.create_model("hf-hub:{repo_id}{at}", pretrained=True, num_classes=7)')
