"""Handles Ctrl-C, SIGTERM and a terminal that is closed (SIGHUP): at the first one, running trials
save their state and the report is written; at the second, the run stops at once.
"""

import os
import signal
import sys
import time
from types import FrameType

from bench.verb import HUNG_UP, INTERRUPTED, TERMINATED

# Running trials have this long to finish their epoch; then they stop without it.
GRACE_SECONDS = 30
SIGNALS = {
    signal.SIGINT: INTERRUPTED,
    signal.SIGTERM: TERMINATED,
    signal.SIGHUP: HUNG_UP,
}


class Stopped(KeyboardInterrupt):
    """Raised at any point of the run when it must stop at once; code is the exit code."""

    def __init__(self, code: int):
        super().__init__()
        self.code = code


class Stopping:
    """Replaces the signal handlers during a run. code is 0, or the exit code after a signal."""

    def __init__(self) -> None:
        self.code = 0
        self.is_gentle = False
        self._deadline = float("inf")
        # nohup has SIGHUP ignored, and that stays so.
        self._before = {
            number: handler
            for number in SIGNALS
            if (handler := signal.getsignal(number)) != signal.SIG_IGN
        }
        self._terminals = [stream for stream in (1, 2) if _is_terminal(stream)]

    def __enter__(self) -> "Stopping":
        self._install()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def gently(self) -> None:
        """From now on the first signal is only recorded; the code that runs the trials checks for
        it.
        """
        self.is_gentle = True
        # Ray replaces the handlers when it starts.
        self._install()

    def at_once(self) -> None:
        """From now on a signal stops the run at once."""
        self.is_gentle = False

    def is_overdue(self) -> bool:
        """Whether a signal came and its grace period is over."""
        return time.monotonic() > self._deadline

    def _install(self) -> None:
        for number in self._before:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_first, self.code = not self.code, SIGNALS[signal.Signals(number)]
        if number == signal.SIGHUP:
            self._leave_terminal()
        if not (is_first and self.is_gentle):
            raise Stopped(self.code)
        self._deadline = time.monotonic() + GRACE_SECONDS
        text = (
            f"stopping: running trials have {GRACE_SECONDS} s to finish their epoch and save it; "
            "a second signal stops the run at once"
        )
        print(text, file=sys.stderr)

    def _leave_terminal(self) -> None:
        """Print to nowhere instead of a terminal that is gone, which would raise OSError."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:
            os.dup2(nowhere, stream)
        os.close(nowhere)


def _is_terminal(stream: int) -> bool:
    try:
        return os.isatty(stream)
    except OSError:
        return False
