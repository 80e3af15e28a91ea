"""The heartbeat of a driver: it touches its lock and writes RUN/status.json every few seconds and
at every event.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.run_folder.lock import BEAT_SECONDS, is_valid, touch_lock
from bench.run_folder.status import Status, write_status


@contextmanager
def send_heartbeats(
    lock: Path, look: Callable[[], Status], changed: threading.Event
) -> Iterator[None]:
    """Send a heartbeat from a thread: now, every few seconds, whenever `changed` is set, and at the
    end.

    look() returns the status. A driver whose lock another process has taken receives SIGTERM.
    """
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            changed.wait(BEAT_SECONDS)
            changed.clear()
            # A temporary storage error is ignored: the next heartbeat tries again, and trials
            # report it if it lasts.
            with suppress(OSError):
                if not is_valid(lock):
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                touch_lock(lock)
                write_status(lock.parent, look())

    with suppress(OSError):
        write_status(lock.parent, look())
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        changed.set()
        thread.join()
        with suppress(OSError):
            write_status(lock.parent, look())
