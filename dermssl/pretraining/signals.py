"""SIGINT, SIGTERM and SIGHUP as a request to stop after the step that is running."""

import signal
import threading
import time
from types import FrameType, TracebackType

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

# Seconds in which another signal is the same request: a terminal, a shell and a scheduler each send theirs, and
# impatient fingers press twice.
SAME_REQUEST = 1.0


class StopRequest:
    """Context in which the first signal only sets ``received``; one that comes later acts as it always does.

    A signal that is ignored stays so: nohup ignores SIGHUP.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._at = 0.0
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            heeded = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._receive) for number in heeded}
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._at = signal.Signals(number), now
        elif now - self._at > SAME_REQUEST:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}
