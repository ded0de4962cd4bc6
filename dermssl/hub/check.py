"""Check folders of published weights: ``python -m dermssl.hub.check hub/``."""

import sys
from collections.abc import Iterable
from pathlib import Path

from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE, read_fitting
from dermssl.documents import read_text
from dermssl.errors import DermsslError
from dermssl.files import sha256_of
from dermssl.hub.exported import CARD_FILE, FILES, PROVENANCE_FILE, files_of, read_config, read_export, refuse_large
from dermssl.hub.front_matter import check_card
from dermssl.hub.provenance import stated_sha256
from dermssl.hub.verify import verify
from dermssl.pretraining.record import RESULTS_FILE
from dermssl.terminal import on_one_line, tell

# a model that anybody can be made to run code by loading
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".tar")
_REMEDY = "export the run again, or write its pages anew with `python -m dermssl.hub.divide`"


def check(folders: Iterable[Path]) -> dict[Path, list[str]]:
    """What is wrong with each exported folder; an empty list where all is well."""
    found = {folder: _files(folder) for folder in folders}
    whole = [folder for folder, problems in found.items() if not problems]
    for folder, verdict in zip(whole, verify(whole) if whole else [], strict=True):
        found[folder] += verdict.problems
    return found


def _files(folder: Path) -> list[str]:
    """What can be seen without loading the weights."""
    problems = [f"{name} is missing" for name in FILES if not (folder / name).is_file()]
    problems += [f"{file.name} may hold a pickle" for file in folder.iterdir() if file.suffix in _PICKLES]
    problems += [f"{file.name} is a link" for file in folder.iterdir() if file.is_symlink()]
    if problems:
        if problems == [f"{RESULTS_FILE} is missing"] and _is_whole(folder):
            problems.append("this is an export of 0.1.0: divide it with `python -m dermssl.hub.divide`")
        return problems
    try:
        config = read_export(folder)
        figures = set(files_of(config["dermssl"])) - set(FILES)
        read_fitting(str(folder), folder / CONFIG_FILE, folder / WEIGHTS_FILE)
        refuse_large(folder)
        text = read_text(folder / CARD_FILE, "a model card", remedy=_REMEDY)
        provenance = read_text(folder / PROVENANCE_FILE, "the provenance of weights", remedy=_REMEDY)
    except DermsslError as error:
        return [str(error)]
    problems = [f"{CARD_FILE}: {problem}" for problem in check_card(text)]
    problems += [f"{name} is missing" for name in sorted(figures) if not (folder / name).is_file()]
    if config["dermssl"]["license"] is None:
        problems.append("the licence is not specified")
    elif f"license: {config['dermssl']['license']}\n" not in text:
        problems.append(f"{CARD_FILE} and {CONFIG_FILE} name different licences")
    if stated_sha256(provenance) != sha256_of(folder / WEIGHTS_FILE):
        problems.append(f"{PROVENANCE_FILE} is of other weights: their SHA-256 differs")
    return problems


def _is_whole(folder: Path) -> bool:
    """Whether ``config.json`` holds the results, too."""
    try:
        return "results" in read_config(folder / CONFIG_FILE)["dermssl"]
    except DermsslError:
        return False


def main(arguments: list[str]) -> int:
    """Check every folder inside the folders named; the exit status is 1 if one has a problem."""
    if not arguments:
        print("usage: python -m dermssl.hub.check FOLDER...", file=sys.stderr)
        return 2
    try:
        folders = [path for root in arguments for path in sorted(Path(root).iterdir()) if path.is_dir()]
        found = check(folders)
    except (OSError, DermsslError) as error:
        tell(f"Error: {on_one_line(str(error))}")
        return 2
    for folder, problems in found.items():
        print(f"{folder}: {'; '.join(problems) if problems else 'ok'}")
    if not found:
        print("no weights there")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
