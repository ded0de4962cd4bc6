"""The options of ``export`` and ``push``: of the Python calls and of their commands alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from dermssl.backbones.arguments import CheckpointOptions
from dermssl.options import Options, option


@dataclass(frozen=True, kw_only=True)
class TermsOptions(Options):
    """Of everything that writes a model card."""

    license: str | None = option(
        None, "Licence of the weights, as the Hub names it.", metavar="ID", unset="that of the images, if known"
    )
    attribution: Sequence[str] = option(
        (), "Source of the images, where their licence asks for it.", metavar="TEXT", repeated=True
    )


@dataclass(frozen=True, kw_only=True)
class ExportOptions(TermsOptions, CheckpointOptions):
    """Of ``export``."""

    description: str | None = option(
        None, "What the images are, for the card: which sets, how they were cropped.", metavar="TEXT"
    )


@dataclass(frozen=True, kw_only=True)
class PushOptions(TermsOptions):
    """Of ``push``."""

    public: bool = option(False, "Let everybody read the repository.", unset="private")
    endpoint: str | None = option(None, "Address of the Hub.", metavar="URL", unset="$HF_ENDPOINT, or huggingface.co")
    dry_run: bool = option(False, "Show the files and the card without contacting the Hub.")
    force: bool = option(False, "Push even if the repository holds something else, and move an existing tag.")
    revision: str = option("main", "Branch; created if it does not exist.")
    tag: str | None = option(None, "Name for the commit, such as v1.")
    message: str | None = option(None, "Message of the commit.")
    # a token on a command line would stay in the shell's history
    token: str | None = option(
        None,
        "Token with the right to write.",
        unset="HF_TOKEN, or what `hf auth login` stored",
        command=False,
        secret=True,
    )
