"""What mkdocs does beside its configuration: pages from the notebook and from the options, the repository's address.

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
from dermssl.methods.registry import METHODS
from dermssl.options import fields_of
from dermssl.pretraining.config import RECIPES, PretrainConfig, own_options

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
    for mark, content in (("commands", commands), ("configuration", configuration), ("methods", methods)):
        if f"<!-- {mark} -->" in markdown:
            markdown = markdown.replace(f"<!-- {mark} -->", content())
    return markdown


def commands() -> str:
    return "\n\n".join(help_of(name) for name in COMMANDS)


def help_of(name: str) -> str:
    """What ``dermssl NAME -h`` says, with an option per row; its width is a page's, a phone's too."""
    command = group.get_command(None, name)
    context = click.Context(command, info_name=f"dermssl {name}", help_option_names=["-h", "--help"])
    rows = [each.get_help_record(context) for each in command.get_params(context)]
    options = [f"`{option}`\n:   {escaped(meaning)}\n" for option, meaning in filter(None, rows) if meaning]
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    purpose = escaped(inspect.cleandoc(command.help or ""))
    return "\n\n".join((f"## {name}", f"```text\n{usage}\n```", purpose, *options))


def configuration() -> str:
    """Every option of ``pretrain``, with its value in each recipe."""
    recipes = [values for name, values in RECIPES.items() if name != "default"]
    rows = [
        (f"`{each.name}`", meaning(each), default(each), *(other(each, values) for values in recipes))
        for each in fields_of(PretrainConfig)
        if each.metadata["said"].command
    ]
    return table(("option", "meaning", *RECIPES), rows)


def other(field: Any, values: dict[str, Any]) -> str:
    value = values.get(field.name, field.default)
    return "" if value == field.default else f"`{value}`"


def methods() -> str:
    """The options that a method has and ``pretrain`` has not."""
    own = [(name, each) for name in METHODS for each in fields_of(own_options(name))]
    return table(
        ("method", "option", "default", "meaning"),
        [(name, f"`{each.name}`", default(each), meaning(each)) for name, each in own],
    )


def default(field: Any) -> str:
    return escaped(field.metadata["said"].unset or "none") if field.default is None else f"`{field.default}`"


def meaning(field: Any) -> str:
    said = field.metadata["said"]
    return escaped(said.help) + (f" One of {', '.join(said.choices)}." if said.choices else "")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


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
