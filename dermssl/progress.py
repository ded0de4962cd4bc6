"""How far a long piece of work is: a bar on a terminal, else a line every ten seconds at most."""

import contextlib
import time
from collections.abc import Iterator

from tqdm import tqdm

from dermssl import terminal

_quiet = False


def be_quiet(quiet: bool) -> None:
    """Show no progress at all from now on, or show it again."""
    global _quiet
    _quiet = quiet


class Progress:
    """The progress of one piece of work; made by :func:`progress_bar`."""

    def __init__(self, total: int, what: str, unit: str, start: int, bar: tqdm | None, lines: bool) -> None:
        self.total, self.done, self.what, self.unit = total, start, what, unit
        self._bar, self._lines, self._start, self._began = bar, lines, start, time.monotonic()

    def update(self, count: int = 1, note: str = "", what: str | None = None) -> None:
        """Say that ``count`` more are done.

        Args:
            count: how many.
            note: what else is known now, such as ``loss 1.234``.
            what: a new name for the work, such as ``epoch 3/20``.
        """
        self.done += count
        self.what = what or self.what
        if self._bar is not None:
            self._bar.set_description(self.what, refresh=False)
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif self._lines and self._seconds() > terminal.SECONDS_BETWEEN_LINES and terminal.progress_due():
            terminal.tell(self._line(note))

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _line(self, note: str) -> str:
        speed = (self.done - self._start) / self._seconds()
        left = round((self.total - self.done) / max(1e-9, speed))
        parts = [
            f"{self.what}: {self.done:,} of {self.total:,} {self.unit} ({self.done / max(1, self.total):.0%})",
            f"{speed:,.3g} {self.unit}/s" if speed < 100 else f"{speed:,.0f} {self.unit}/s",
            f"{left // 60}:{left % 60:02} left",
            note,
        ]
        return ", ".join(filter(None, parts))


@contextlib.contextmanager
def progress_bar(
    total: int, what: str, unit: str, *, start: int = 0, shown: bool = True, leave: bool = True
) -> Iterator[Progress]:
    """Show how far a piece of work is while the body does it.

    Args:
        total: all there is to do.
        what: name of the work, such as ``features``.
        unit: of what is counted, such as ``images``.
        start: what was done before.
        shown: False shows nothing.
        leave: keep the full bar on the terminal afterwards.

    Yields:
        the `Progress` to update.
    """
    shown = shown and not _quiet
    if not (shown and terminal.is_terminal()):
        yield Progress(total, what, unit, start, None, shown)
        return
    file = terminal.STDERR
    with tqdm(
        total=total, initial=start, desc=what, unit=f" {unit}", unit_scale=total >= 10_000, leave=leave, file=file,
        mininterval=0.5, dynamic_ncols=True,
    ) as bar:  # fmt: skip
        yield Progress(total, what, unit, start, bar, False)
