"""Divide exports of 0.1.0, whose results stand in ``config.json``: ``python -m dermssl.hub.divide FOLDER...``.

The results go to ``results.json``, and card and provenance are written anew. Nothing is lost, which is asserted, and
``model.safetensors`` is not touched.
"""

import json
import sys
from pathlib import Path
from typing import Any

from dermssl.backbones.identity import ID_FIELD
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE
from dermssl.errors import DermsslError
from dermssl.files import sha256_of, write_text
from dermssl.hub.export import write_pages
from dermssl.hub.exported import divide, read_config, read_export, refuse_large, write_results
from dermssl.terminal import on_one_line, tell


def divide_export(folder: Path) -> bool:
    """Divide one export, and write its pages anew; False where it was divided already.

    Raises:
        DermsslError: it is not an export, is damaged, or cannot be written; after an interruption, call it again.
    """
    whole = "results" in read_config(folder / CONFIG_FILE)["dermssl"]
    if whole:
        before, digest = read_export(folder), sha256_of(folder / WEIGHTS_FILE)
        write_parts(folder, before)
        refuse_large(folder)
        if read_export(folder) != before or sha256_of(folder / WEIGHTS_FILE) != digest:
            raise DermsslError(f"{folder}: its content would change when it is divided; restore it from a copy")
    write_pages(folder, folder.resolve().name)
    return whole


def write_parts(folder: Path, config: dict[str, Any]) -> None:
    """Write ``results.json`` and ``config.json`` of an export.

    Args:
        folder: of the export.
        config: as ``read_export`` gives it.
    """
    kept, more = divide(config["dermssl"])
    write_results(folder, more, kept.get(ID_FIELD))  # first: until the other is written, that one has all
    write_text(folder / CONFIG_FILE, json.dumps({**config, "dermssl": kept}, indent=2) + "\n")


def main(arguments: list[str]) -> int:
    """Divide the folders named."""
    if not arguments:
        print("usage: python -m dermssl.hub.divide FOLDER...", file=sys.stderr)
        return 2
    try:
        for folder in map(Path, arguments):
            print(f"{folder}: {'divided' if divide_export(folder) else 'was divided already'}, pages written")
    except (OSError, DermsslError) as error:
        tell(f"Error: {on_one_line(str(error))}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
