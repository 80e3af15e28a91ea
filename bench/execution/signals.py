"""Ctrl-C and SIGTERM: once, running trials keep their state and the report is written; twice, the
run stops at once.
"""

import signal
import sys
import time
from types import FrameType

from bench.exit_codes import INTERRUPTED, TERMINATED

# How long running trials may take to reach the end of their epoch, after which they stop as they
# are.
GRACE_SECONDS = 30
SIGNALS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


class Stopped(KeyboardInterrupt):
    """Raised wherever the run is when it must stop at once; code is the exit code."""

    def __init__(self, code: int):
        super().__init__()
        self.code = code


class Stopping:
    """Takes the place of the signals' handlers during a run. code is the exit code once a signal
    came, before that 0.
    """

    def __init__(self) -> None:
        self.code = 0
        self.is_gentle = False
        self._deadline = float("inf")
        self._before = {number: signal.getsignal(number) for number in SIGNALS}

    def __enter__(self) -> "Stopping":
        self._install()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def gently(self) -> None:
        """From here on a first signal is only noted, for whoever runs the trials to see."""
        self.is_gentle = True
        # Ray puts handlers of its own in their place when it starts.
        self._install()

    def at_once(self) -> None:
        """From here on a signal stops whatever runs."""
        self.is_gentle = False

    def is_overdue(self) -> bool:
        """True when a first signal came and its time of grace is over."""
        return time.monotonic() > self._deadline

    def _install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_first, self.code = not self.code, SIGNALS[signal.Signals(number)]
        if not (is_first and self.is_gentle):
            raise Stopped(self.code)
        self._deadline = time.monotonic() + GRACE_SECONDS
        text = (
            f"stopping: running trials have {GRACE_SECONDS} s to end their epoch and keep it; "
            "once more stops at once"
        )
        print(text, file=sys.stderr)
