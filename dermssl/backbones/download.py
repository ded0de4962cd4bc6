"""The Hub as this package sees it: one file fetched, and errors in words."""

import contextlib
import errno
import functools
import logging
from pathlib import Path

from huggingface_hub import constants, get_token, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from dermssl import __version__
from dermssl.errors import DermsslError
from dermssl.privacy import is_private, masked, no_open_token, without_password

LOGGER = logging.getLogger("dermssl")


def download(repo: str, name: str, revision: str | None, spelling: str) -> Path:
    """A file of a repository, from the cache where it is there and current.

    Raises:
        DermsslError: it cannot be had; the message says why and begins with ``weights SPELLING``.
    """
    fetch = functools.partial(
        hf_hub_download,
        repo,
        name,
        revision=revision,
        library_name="dermssl",
        library_version=__version__,
    )
    try:
        with no_open_token():
            return Path(fetch())
    except Exception as error:  # httpx's and httpx2's errors have no common base with the Hub's
        if _is_network(error):  # a refused connection falls back to the cache by itself, a broken one does not
            with contextlib.suppress(LocalEntryNotFoundError):
                path = Path(fetch(local_files_only=True))
                LOGGER.warning("no connection to the Hub: %s of %s comes from the cache", name, repo)
                return path
        raise DermsslError(f"weights {spelling}: {name}: {explain(error)}") from error


def refuse_open_address(endpoint: str) -> None:
    """Raises DermsslError where a token would go over the network in the clear."""
    if not is_private(endpoint):
        raise DermsslError(
            f"--endpoint {without_password(endpoint)}: the token would be sent unencrypted; use an https:// address"
        )


def explain(error: BaseException, endpoint: str | None = None, token: str | None = None) -> str:
    """What went wrong between here and the Hub (at ``endpoint``), and what to do; tokens and passwords are masked."""
    return masked(_explain(error, endpoint), token, get_token())


def _explain(error: BaseException, endpoint: str | None) -> str:
    chain = _chain(error)
    for kind, text in _MEANINGS:
        if any(isinstance(link, kind) for link in chain):
            return text
    if any(isinstance(link, OSError) and link.errno == errno.ENOSPC for link in chain):
        return f"no space left on the disk; free some, or set HF_HOME to another (now {constants.HF_HUB_CACHE})"
    if constants.HF_HUB_OFFLINE and any(isinstance(link, LocalEntryNotFoundError) for link in chain):
        return _OFFLINE
    if "Invalid metadata in README.md" in str(error):  # a ValueError of the Hub's library, with the Hub's own words
        return f"the Hub does not accept the card: {' '.join(str(error).splitlines()[1:])}"
    for link in chain:
        if isinstance(link, HfHubHTTPError) and link.response is not None:
            status = link.response.status_code
            return _STATUS.get(status, f"the Hub answered {status}: {' '.join(str(link).split())}")
    if _is_network(error):
        where = endpoint or constants.ENDPOINT
        return f"no connection to {where} ({_first_line(chain[-1])}); is there a network? Try again"
    return f"{type(error).__name__}: {_first_line(error)}"


_NO_REPOSITORY = "no such repository, or a private one that needs a token with access (`hf auth login`, or HF_TOKEN)"
_CHANGED = "the repository changed at the same time; try again"
_OFFLINE = "HF_HUB_OFFLINE is set and it is not in the cache; unset it, or load it once with a network"
_MEANINGS: tuple[tuple[type[BaseException], str], ...] = (
    (HFValidationError, "not the name of a repository; write ORG/NAME"),
    (GatedRepoError, "access to this repository must be asked for on its page"),
    (RevisionNotFoundError, "the repository has no such revision"),
    (RemoteEntryNotFoundError, "the repository has no such file: it was not made by `dermssl push`"),
    (RepositoryNotFoundError, _NO_REPOSITORY),
    (OfflineModeIsEnabled, _OFFLINE),
)
_STATUS = {
    401: "the Hub does not accept the token; make one with `hf auth login`, or set HF_TOKEN",
    403: "the token may not do this; it needs the right to write to this repository",
    404: _NO_REPOSITORY,
    409: _CHANGED,
    412: _CHANGED,
}
_NETWORK = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "BrokenPipeError",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "WriteError",
    "WriteTimeout",
    "gaierror",
}


def _is_network(error: BaseException) -> bool:
    return any(type(link).__name__ in _NETWORK for link in _chain(error))


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from, outermost first."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
