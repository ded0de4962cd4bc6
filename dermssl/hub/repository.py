"""One repository of the Hub, for the time of a push: what stands there, and one commit that replaces it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from dermssl import __version__
from dermssl.backbones.download import explain
from dermssl.backbones.load import CONFIG_FILE
from dermssl.errors import DermsslError
from dermssl.hub.exported import read_config

# what the Hub itself puts into a new repository
_INITIAL = {".gitattributes", "README.md"}


class Repository:
    """``ORG/NAME`` on a Hub.

    Args:
        name: ``ORG/NAME``.
        endpoint: address of the Hub.
        token: with the right to write.
        revision: branch.
    """

    def __init__(self, name: str, *, endpoint: str, token: str, revision: str) -> None:
        self.name, self.revision = name, revision
        self.api = HfApi(endpoint=endpoint, token=token, library_name="dermssl", library_version=__version__)
        self._token = token
        self.head: str | None = None
        self.private = True
        self.exists = False

    def look(self, files: Sequence[str], architecture: str) -> list[str]:
        """What stands in the repository that a push of ``files`` would spoil or leave beside itself.

        Notes the head, so that nobody's commit is overwritten unseen.
        """
        info = self._info()
        if info is None:
            return []
        self.head, self.private, self.exists = info.sha, bool(info.private), True
        names = {file.rfilename for file in info.siblings or []}
        if not names - _INITIAL:
            return []
        if CONFIG_FILE in names:
            there = self._config()
            if there is not None and there["architecture"] == architecture:
                return sorted(names - _INITIAL - set(files))
        return sorted(names - _INITIAL)

    def create(self) -> None:
        """Make it, private, if it is not there; make the branch, if it is not there."""
        with self._spoken("create the repository"):
            if not self.exists:
                self.api.create_repo(self.name, private=True)
            if self.revision != "main":
                self.api.create_branch(self.name, branch=self.revision, exist_ok=True)

    def commit(self, folder: Path, files: Sequence[str], message: str) -> str:
        """Upload ``files`` of ``folder`` as one commit: all of them or nothing. Returns its hash."""
        with self._spoken("upload"):
            done = self.api.create_commit(
                self.name,
                [CommitOperationAdd(name, folder / name) for name in files],
                commit_message=message,
                revision=self.revision,
                parent_commit=self.head,
            )
        return done.oid

    def refuse_tag(self, tag: str) -> None:
        """Say before anything is uploaded that a tag is taken.

        One on the head may pass: the same files again are no new commit.

        Raises:
            DermsslError: it is on another commit than the head.
        """
        if self.exists and self._tags(tag).get(tag, self.head) != self.head:
            raise DermsslError(self._taken(tag))

    def tag(self, tag: str, commit: str, *, move: bool) -> None:
        """Name a commit.

        Raises:
            DermsslError: the tag is there and may not be moved.
        """
        there = self._tags(tag).get(tag)
        if there == commit:
            return
        if there is not None and not move:
            raise DermsslError(f"{self._taken(tag)}. The files are there, as commit {commit[:8]} without a tag")
        with self._spoken(f"tag {tag}"):
            if there is not None:
                self.api.delete_tag(self.name, tag=tag)
            self.api.create_tag(self.name, tag=tag, revision=commit)

    def _tags(self, tag: str) -> dict[str, str]:
        with self._spoken(f"tag {tag}"):
            return {ref.name: ref.target_commit for ref in self.api.list_repo_refs(self.name).tags}

    def _taken(self, tag: str) -> str:
        return f"{self.name} has a tag {tag} already; name another --tag, or move it by --force"

    def publish(self) -> None:
        """Let everybody read it."""
        with self._spoken("make the repository public"):
            self.api.update_repo_settings(self.name, private=False)
        self.private = False

    def _info(self) -> Any:
        with self._spoken("look at the repository"):
            try:
                try:
                    return self.api.model_info(self.name, revision=self.revision)
                except RevisionNotFoundError:  # the new branch will begin where main is
                    return self.api.model_info(self.name)
            except RepositoryNotFoundError:  # one that is private to others says the same; create() then tells
                return None

    def _config(self) -> dict[str, Any] | None:
        """The exported ``config.json`` that stands there, if it is one of ours."""
        with self._spoken("look at the repository"):
            try:
                file = self.api.hf_hub_download(self.name, CONFIG_FILE, revision=self.head)
            except LocalEntryNotFoundError:  # the connection is gone, which says nothing of the file
                raise
            except EntryNotFoundError:
                return None
        try:
            return read_config(Path(file))
        except DermsslError:
            return None

    @contextlib.contextmanager
    def _spoken(self, doing: str) -> Iterator[None]:
        """Turn what the Hub's library raises into a DermsslError."""
        try:
            yield
        except DermsslError:
            raise
        except Exception as error:  # httpx's and httpx2's errors have no common base with the Hub's
            why = explain(error, self.api.endpoint, self._token)
            raise DermsslError(f"cannot {doing} ({self.name}): {why}") from error
