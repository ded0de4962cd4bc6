"""The package's log on standard error."""

import contextlib
import logging
from typing import Any

import click

from dermssl import progress, terminal

LOGGER = logging.getLogger("dermssl")

_level = logging.INFO  # as --quiet and --verbose set it


class _ToTerminal(logging.Handler):
    """Writes to standard error without tearing a progress bar apart; never raises."""

    def emit(self, record: logging.LogRecord) -> None:
        # a line an epoch is welcome on a terminal and a flood in a file; log.txt of a run has all
        if getattr(record, "progress", False) and not terminal.is_terminal() and not terminal.progress_due():
            return
        with contextlib.suppress(Exception):
            line = self.format(record)
            if terminal.is_terminal():
                from tqdm import tqdm

                tqdm.write(line, file=terminal.STDERR)
            else:
                terminal.tell(line)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = terminal.on_one_line(record.getMessage())
        when = f"{self.formatTime(record)} " if verbose() else ""
        mark = f"{terminal.coloured('warning:', 33)} " if record.levelno >= logging.WARNING else ""
        return f"{when}{mark}{message}"


def log_to_terminal() -> None:
    """Show what dermssl logs on standard error: from INFO on, or as --quiet and --verbose say."""
    logging.raiseExceptions = False
    handler = next((handler for handler in LOGGER.handlers if isinstance(handler, _ToTerminal)), None)
    if handler is None:
        handler = _ToTerminal()
        handler.setFormatter(_Plain())
        LOGGER.addHandler(handler)
    handler.setLevel(_level)  # the logger's own level is lowered while a run writes its log.txt
    LOGGER.setLevel(_level)


def verbose() -> bool:
    """Whether --verbose was given: times before the lines, and the way to an error."""
    return _level < logging.INFO


def with_verbosity(command: click.Command) -> click.Command:
    """Give a command ``--quiet`` and ``--verbose``."""

    def set_level(context: click.Context, parameter: click.Parameter, given: bool) -> None:
        global _level
        if given:
            _level = logging.WARNING if parameter.name == "quiet" else logging.DEBUG
            progress.be_quiet(_level == logging.WARNING)

    if not any(parameter.name == "quiet" for parameter in command.params):
        common: dict[str, Any] = {"is_flag": True, "expose_value": False, "callback": set_level}
        command.params += [
            click.Option(["-q", "--quiet"], help="Show warnings, errors and results only.", **common),
            click.Option(["-v", "--verbose"], help="Show times, and where an error came from.", **common),
        ]
    return command


def reset_verbosity() -> None:
    """As if neither --quiet nor --verbose had been given."""
    global _level
    _level = logging.INFO
    progress.be_quiet(False)
