"""The package's log on the terminal."""

import logging
import sys

from tqdm import tqdm


class _AroundBars(logging.Handler):
    """Writes to standard error without tearing a progress bar apart."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def log_to_terminal() -> None:
    """Show what dermssl logs, from INFO on, on standard error; warnings are marked as such."""
    logger = logging.getLogger("dermssl")
    if not any(isinstance(handler, _AroundBars) for handler in logger.handlers):
        handler = _AroundBars()
        handler.setFormatter(_Plain())
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        return f"warning: {message}" if record.levelno >= logging.WARNING else message
