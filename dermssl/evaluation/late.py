"""Failures after the work: what was found must not be lost because it cannot be written where it was to go."""

from pathlib import Path

from dermssl.errors import DermsslError
from dermssl.evaluation.report import Report


class NotSaved(DermsslError):
    """A file could not be written after an evaluation; ``report`` is its whole result, with the answers."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


def save_answers(report: Report, path: str | Path | None) -> None:
    """Write the answers to ``path``, if there is one.

    Raises:
        NotSaved: they cannot be written.
    """
    if path is None or report.predictions is None:
        return
    try:
        report.predictions.save(path)
    except DermsslError as error:
        raise NotSaved(f"--predictions {path}: {error}; the report itself is complete", report) from error
