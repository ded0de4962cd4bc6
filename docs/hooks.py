"""What mkdocs does beside its configuration: pages from the notebook and the commands' help, the repository's address.

The notebook is turned into Markdown here, with the outputs that are kept in it, so that it looks, is searched and goes
dark like every other page. The address is that of the repository in which the site is built: GitHub's workflows name it
in $GITHUB_REPOSITORY; without it there is no link to the repository and no badge.
"""

import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from dermssl.cli import COMMANDS, group

NOTEBOOK = "examples/first_backbone.ipynb"
PAGE = "tutorials/notebook.md"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
PICTURES = ("image/jpeg", "image/png")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        config.repo_name, config.repo_url = repository, f"https://github.com/{repository}"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    notebook = json.loads((Path(config.config_file_path).parent / NOTEBOOK).read_text(encoding="utf-8"))
    files.append(File.generated(config, PAGE, content="\n\n".join(blocks(notebook))))
    return files


def on_page_markdown(markdown: str, **given: Any) -> str:
    return markdown.replace("<!-- commands -->", "\n\n".join(help_of(name) for name in COMMANDS))


def help_of(name: str) -> str:
    """What ``dermssl NAME -h`` says, with an option per row; its width is a page's, a phone's too."""
    command = group.get_command(None, name)
    context = click.Context(command, info_name=f"dermssl {name}", help_option_names=["-h", "--help"])
    rows = [each.get_help_record(context) for each in command.get_params(context)]
    options = [f"`{option}`\n:   {escaped(meaning)}\n" for option, meaning in filter(None, rows) if meaning]
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    purpose = escaped(inspect.cleandoc(command.help or ""))
    return "\n\n".join((f"## {name}", f"```text\n{usage}\n```", purpose, *options))


def escaped(text: str) -> str:
    return text.replace("\b", "").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def blocks(notebook: dict[str, Any]) -> Iterator[str]:
    """The notebook's cells as Markdown, each code cell with what it printed and drew."""
    for number, cell in enumerate(notebook["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield text
            if number == 0:
                yield badge()
            continue
        yield f"```python\n{text}\n```"
        for output in cell["outputs"]:
            data = output.get("data", {})
            picture = next((kind for kind in PICTURES if kind in data), None)
            if picture:
                yield f"![What the cell above drew](data:{picture};base64,{''.join(data[picture]).strip()})"
            elif printed := "".join(output.get("text") or data.get("text/plain", "")).rstrip():
                yield f'```{{ .text .output title="Output" }}\n{printed}\n```'


def badge() -> str:
    repository = os.environ.get("GITHUB_REPOSITORY")
    page = f"https://colab.research.google.com/github/{repository}/blob/main/{NOTEBOOK}"
    return f"[![Open in Colab]({BADGE})]({page})" if repository else f"The notebook: `{NOTEBOOK}` in the repository."
