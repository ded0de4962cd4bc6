"""Standard output and standard error, which may be a terminal, a pipe, a file, full, closed or of any encoding.

Nothing here raises: what a person cannot be told must not cost the work. What failed is remembered, see ``lost``.
"""

import contextlib
import io
import os
import re
import sys
import time
import unicodedata
from collections.abc import Iterator
from typing import TextIO

SECONDS_BETWEEN_LINES = 10.0  # of progress, where there is no terminal

_lost: OSError | ValueError | None = None  # the first failure of standard output
_last_progress = float("-inf")
# They turn the direction of what follows, so that a name reads as another (Unicode TR 36).
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_STEERING = ("Cc", "Cs", "Zl", "Zp")  # categories of Unicode: control characters, halves of pairs, line ends


def visible(text: str) -> str:
    r"""The text with its control characters spelled out (``\x1b``): a file's name must not steer a terminal."""

    def spelled(match: re.Match[str]) -> str:
        return match[0].encode("unicode_escape").decode("ascii")

    text = _TURNING.sub(spelled, text)
    if text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _STEERING else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def on_one_line(text: str) -> str:
    """A message with its line ends spelled out as well: a name that holds one must not look like a message of ours."""
    return visible(text).replace("\n", "\\n")


def is_terminal() -> bool:
    """Whether standard error is a terminal, where bars and colours make sense."""
    return STDERR.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: int) -> str:
    """The text in a colour (31 red, 33 yellow), on a terminal and unless $NO_COLOR is set."""
    return f"\x1b[{colour}m{text}\x1b[0m" if is_terminal() and not os.environ.get("NO_COLOR") else text


def tell(text: str) -> None:
    """Print a message on standard error."""
    STDERR.write(text + "\n")


def lost() -> str | None:
    """Why something that was said did not reach standard output; None if all did, or nobody reads it any more."""
    return (
        None if _lost is None or isinstance(_lost, BrokenPipeError) else getattr(_lost, "strerror", None) or str(_lost)
    )


def progress_due() -> bool:
    """Whether a line of progress may be written where there is no terminal: one every ten seconds."""
    global _last_progress
    now = time.monotonic()
    if now - _last_progress < SECONDS_BETWEEN_LINES:
        return False
    _last_progress = now
    return True


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """Print without failing while the body runs: to streams that are full, closed, or know few characters.

    Control characters in a result (in names of files or classes) are spelled out.
    """
    global _lost
    _lost = None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # else the next file that is opened, a checkpoint for one, would get what is printed
            os.open(os.devnull, os.O_RDWR)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Safe(streams[0], result=True), _Safe(streams[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for stream, number in zip(streams, (1, 2), strict=True):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError):  # the interpreter would try again when it ends, and exit with 120
                with contextlib.suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


class _Safe(io.TextIOBase):
    """A text stream that takes whatever is written and never fails."""

    def __init__(self, stream: TextIO | None, *, result: bool = False) -> None:
        self._stream, self._result = stream, result

    def _target(self) -> TextIO | None:
        return self._stream

    def write(self, text: str) -> int:
        global _lost
        stream = self._target()
        try:
            if stream is None:
                raise OSError("it is closed")
            shown = visible(text) if self._result else text
            try:
                stream.write(shown)
            except UnicodeEncodeError as error:
                stream.write(shown.encode(error.encoding, "backslashreplace").decode(error.encoding))
            stream.flush()
        except (OSError, ValueError) as error:
            if self._result:
                _lost = _lost or error
        return len(text)

    def flush(self) -> None:
        """Every write was flushed."""

    def isatty(self) -> bool:
        try:
            stream = self._target()
            return stream is not None and stream.isatty()
        except ValueError:  # closed
            return False

    def fileno(self) -> int:
        stream = self._target()
        if stream is None:
            raise io.UnsupportedOperation("fileno")
        return stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._target(), "encoding", None) or "ascii"


class _StandardError(_Safe):
    """Standard error as it is at the moment."""

    def _target(self) -> TextIO | None:
        return sys.stderr


STDERR = _StandardError(None)
