"""``push``: from a run directory to a repository of the Hub that timm loads."""

import logging
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from dermssl.backbones.download import refuse_open_address
from dermssl.backbones.load import CONFIG_FILE, WEIGHTS_FILE
from dermssl.errors import DermsslError
from dermssl.files import cannot_write
from dermssl.hub.arguments import PushOptions
from dermssl.hub.carried import carry
from dermssl.hub.divide import write_parts
from dermssl.hub.drafts import draft
from dermssl.hub.export import export, write_pages
from dermssl.hub.exported import CARD_FILE, FILES, files_of, read_export
from dermssl.hub.front_matter import check_card
from dermssl.hub.repository import Repository
from dermssl.hub.verify import verify
from dermssl.options import takes
from dermssl.privacy import without_password

LOGGER = logging.getLogger("dermssl")

_DRAFTS = "dermssl-push-"  # in the system's folder for temporary files; a kill leaves one, which the next push removes


@dataclass(frozen=True)
class PushResult:
    """What was pushed, or would be.

    Attributes:
        repository: ``ORG/NAME``.
        url: of its page.
        commit: hash of the commit; None in a dry run.
        private: whether only its owners can read it.
        files: size in bytes of each file.
        card: text of the model card.
    """

    repository: str
    url: str
    commit: str | None
    private: bool
    files: dict[str, int]
    card: str


@takes(PushOptions)
def push(
    run: str | os.PathLike[str],
    repo_id: str,
    options: PushOptions,
) -> PushResult:
    """Publish a run's backbone on the Hugging Face Hub, and load it back by timm to see that it is whole.

    Args:
        run: a run directory or an exported one; the card is written anew for ``repo_id``.
        repo_id: ``ORG/NAME``; made private if it is not there.
        options: the fields of `PushOptions`, by keyword.

    Returns:
        PushResult.

    Raises:
        DermsslError: no token, no right to write, no connection, or the repository holds something else. The files
            arrive as one commit: all or none.
    """
    run = Path(run)
    endpoint = (options.endpoint or constants.ENDPOINT).rstrip("/")
    _check_names(repo_id, options.revision, options.tag)
    with draft(Path(tempfile.gettempdir()), _DRAFTS) as temporary:
        folder = _prepare(run, temporary, repo_id, options)
        card = (folder / CARD_FILE).read_text(encoding="utf-8")
        config = read_export(folder)
        if options.public and config["dermssl"]["license"] is None:
            raise DermsslError(
                "--public: the licence of the images is not known; name that of the weights: --license ID"
            )
        names = files_of(config["dermssl"])
        files = {name: (folder / name).stat().st_size for name in names}
        url = f"{without_password(endpoint)}/{repo_id}"
        if options.dry_run:
            return PushResult(repo_id, url, None, not options.public, files, card)
        if constants.HF_HUB_OFFLINE:
            raise DermsslError("HF_HUB_OFFLINE is set: unset it to push")
        token = options.token or get_token()
        if not token:
            raise DermsslError(
                "no token for the Hub: run `hf auth login`, or set HF_TOKEN to one with the right to write"
            )
        refuse_open_address(endpoint)
        repository = Repository(repo_id, endpoint=endpoint, token=token, revision=options.revision)
        _refuse_others(repository, names, config["architecture"], options.force)
        if options.tag and not options.force:
            repository.refuse_tag(options.tag)
        repository.create()
        message = options.message or f"{config['architecture']} pretrained by dermssl"
        commit = repository.commit(folder, names, message)
        LOGGER.info("uploaded as %s; loading it back by timm", commit[:8])
        _load_back(folder, f"hf-hub:{repo_id}@{commit}", endpoint, token, temporary)
        if options.tag:
            repository.tag(options.tag, commit, move=options.force)
        if options.public and repository.private:
            repository.publish()
        return PushResult(repo_id, url, commit, repository.private, files, card)


def _check_names(repo_id: str, revision: str, tag: str | None) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise DermsslError(f"{repo_id!r} is not the name of a repository; write ORG/NAME. {error}") from error
    if "/" not in repo_id:
        raise DermsslError(f"{repo_id!r} is not the name of a repository; write ORG/NAME")
    for option, value in (("--revision", revision), ("--tag", tag)):
        if value is not None and (not re.fullmatch(r"[\w.][\w./-]*", value) or ".." in value):
            raise DermsslError(f"{option} {value!r}: not a name that git accepts")


def _prepare(run: Path, temporary: Path, repo_id: str, options: PushOptions) -> Path:
    """A checked export of ``run`` with the pages of this repository."""
    folder = temporary / "files"
    if (run / WEIGHTS_FILE).is_file():
        if options.license or options.attribution:
            raise DermsslError(f"{run} is an export: its licence is settled; export the run again with --license")
        config = run / CONFIG_FILE
        if not config.is_file():
            raise DermsslError(f"{run}: {CONFIG_FILE} is missing; export the run again")
        there = read_export(run)
        try:
            folder.mkdir()
            for name in [WEIGHTS_FILE, *files_of(there["dermssl"])[len(FILES) :]]:
                carry(run / name, folder / name)
        except OSError as error:
            raise cannot_write(folder, error) from error
        write_parts(folder, there)
        write_pages(folder, repo_id)
        problems = [*verify([folder])[0].problems, *check_card((folder / CARD_FILE).read_text(encoding="utf-8"))]
        if problems:
            raise DermsslError(f"{run} failed its check, nothing was uploaded: " + "; ".join(problems))
        return folder
    export(run, folder, license=options.license, attribution=options.attribution)
    write_pages(folder, repo_id)
    return folder


def _refuse_others(repository: Repository, names: Sequence[str], architecture: str, force: bool) -> None:
    others = repository.look(names, architecture)
    if others and not force:
        raise DermsslError(
            f"{repository.name} holds something else ({', '.join(others[:5])}{', ...' if len(others) > 5 else ''}); "
            "name another repository, or push into it with --force (files of other names stay)"
        )


def _load_back(folder: Path, model: str, endpoint: str, token: str, temporary: Path) -> None:
    """Load what the Hub now holds, in a fresh process with an empty cache, and compare it with what was sent."""
    home = str(temporary / "cache")
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token,
        "HF_HOME": home,
        "HF_HUB_CACHE": f"{home}/hub",
        "HF_HUB_OFFLINE": "0",
    }
    problems = verify([folder], models=[model], environment=environment)[0].problems
    if problems:
        raise DermsslError(f"the upload arrived, but {model} does not load as it was sent: {'; '.join(problems)}")
