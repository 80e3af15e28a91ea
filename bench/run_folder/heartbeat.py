"""A driver's signs of life: its lock is touched and RUN/status.json written, each few seconds and
at every event.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.run_folder.lock import BEAT_SECONDS, beat, is_mine
from bench.run_folder.status import Status, write_status


@contextmanager
def beating(lock: Path, look: Callable[[], Status], changed: threading.Event) -> Iterator[None]:
    """Give a sign of life now, whenever `changed` is set, each few seconds, and a last one at the
    end, from a thread.

    look() says what runs. A driver whose lock somebody else has taken stops as if it were asked to.
    """
    over = threading.Event()

    def signs() -> None:
        while not over.is_set():
            changed.wait(BEAT_SECONDS)
            changed.clear()
            # Storage that fails for a moment is tried again at the next sign; trials meet it where
            # it matters.
            with suppress(OSError):
                if not is_mine(lock):
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                beat(lock)
                write_status(lock.parent, look())

    with suppress(OSError):
        write_status(lock.parent, look())
    thread = threading.Thread(target=signs, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        changed.set()
        thread.join()
        with suppress(OSError):
            write_status(lock.parent, look())
