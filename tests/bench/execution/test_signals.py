"""A terminal that is closed stops a run as SIGTERM does, unless nohup keeps it running."""

import os
import pty
import signal
import subprocess
import sys

from bench.execution.signals import Stopping

RUN = """
import sys, time
from bench.execution.signals import Stopping
with Stopping() as stopping:
    stopping.gently()
    print("ready", flush=True)
    while not stopping.code:
        time.sleep(0.01)
    print("a last line", file=sys.stderr, flush=True)
sys.exit(stopping.code)
"""


def test_a_closed_terminal_is_recorded_and_printing_goes_on():
    controller, terminal = pty.openpty()
    # A shell started with nohup would hand on that SIGHUP is ignored.
    run = subprocess.Popen(
        [sys.executable, "-c", RUN],
        stdout=terminal,
        stderr=terminal,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    os.close(terminal)
    assert os.read(controller, 100).startswith(b"ready")
    os.close(controller)

    run.send_signal(signal.SIGHUP)

    assert run.wait(30) == 129


def test_nohup_keeps_a_run_going():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stopping() as stopping:
            stopping.gently()
            os.kill(os.getpid(), signal.SIGHUP)
            assert stopping.code == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
