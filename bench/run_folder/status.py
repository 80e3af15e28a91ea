"""RUN/status.json, which a driver writes at every heartbeat, and what `segbench status` says of it:
the progress of a run, its running trials, its expected end, and whether its driver is alive.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.run_folder.lock import BEAT_SECONDS, FoundLock, find_lock, is_alive, is_valid, touch_lock
from trials.records.codec import read_record, to_json
from trials.records.result import COMPLETE, FAILED, PRUNED
from trials.records.result_file import read_result
from trials.records.run_record import read_run_record
from trials.storage.atomic import exists, find_files, write_text

NAME = "status.json"
COLUMNS = ("planned", "done", "pruned", "failed", "running", "pending")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running trial: its text, its epochs, and how long it has run."""

    phase: str
    text: str
    epoch: int
    epochs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status that a driver reports. ends is the expected end by its clock, None before the
    first epoch.
    """

    host: str
    pid: int
    started: str
    updated: str
    running: tuple[Running, ...]
    best: str
    ends: str | None


def write_status(out: Path, status: Status) -> None:
    """Write RUN/status.json. A store that is unavailable is not waited for, since the next
    heartbeat writes it again.
    """
    write_text(out / NAME, to_json(status), patience=0)


def status_text(out: Path, now: datetime) -> str:
    """The output of `segbench status`. Raises ValueError if there is no run."""
    record = read_run_record(out, ("grid", "planned", "command", "started"))
    status = read_status(out / NAME)
    held = find_lock(out)
    lives = held is not None and is_alive(held)
    running = status.running if status and lives else ()
    counts = phase_counts(record["planned"], outcomes(out), running)
    lines = [
        f"{record['grid']} in {out}, started {record['started']}",
        driver_line(held, lives, status, record, counts),
        "",
    ]
    lines += table(counts)
    if status and running:
        lines += [
            "",
            *running_lines(running, (now - datetime.fromisoformat(status.updated)).total_seconds()),
        ]
    if status and status.best:
        lines += ["", status.best]
    if lives and status and status.ends:
        lines.append(f"ends about {datetime.fromisoformat(status.ends):%Y-%m-%d %H:%M:%S}")
    return "\n".join(lines)


def read_status(path: Path) -> Status | None:
    """The last status of the driver, None before its first. Raises ValueError naming the file if it
    is damaged.
    """
    if not exists(path):
        return None
    fix = "delete it; a running driver rewrites it within seconds"
    status = read_record(Status, path, fix)
    for name, time in (("updated", status.updated), ("ends", status.ends)):
        if time is not None and not is_local_time(time):
            raise ValueError(
                f"{path} is damaged ({name} must be a date and time by the driver's clock; got "
                f"{time!r}); {fix}"
            )
    return status


def is_local_time(text: str) -> bool:
    """Whether a text is a date and time without a time zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def outcomes(out: Path) -> Iterator[tuple[str, str]]:
    """Phase and state of every trial that has a result; interrupted ones count as not finished."""
    for path in find_files(out, "trials/*/result.json"):
        try:
            result = read_result(out, path.parent.name)
        except ValueError as error:
            raise ValueError(f"{error}; run the grid again to repeat this trial") from None
        if result.reason != "interrupted":
            yield result.spec.phase, result.state


def phase_counts(
    planned: Mapping[str, int], ended: Iterator[tuple[str, str]], running: tuple[Running, ...]
) -> dict[str, dict[str, int]]:
    """A row per phase with the numbers of COLUMNS."""
    states, runs = Counter(ended), Counter(one.phase for one in running)
    rows = {}
    for phase, number in planned.items():
        done, pruned, failed = (states[phase, state] for state in (COMPLETE, PRUNED, FAILED))
        pending = max(0, number - done - pruned - failed - runs[phase])
        rows[phase] = dict(
            zip(COLUMNS, (number, done, pruned, failed, runs[phase], pending), strict=True)
        )
    return rows


def driver_line(
    held: FoundLock | None,
    lives: bool,
    status: Status | None,
    record: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
) -> str:
    """The process that drives the run, or how to continue if there is none."""
    if lives and held is not None and held.owner is not None:
        owner = held.owner
        return (
            f"in use by process {owner.pid} on {owner.host} since {owner.since}, last heartbeat "
            f"{held.silent_seconds:.0f} s ago"
        )
    if lives:
        return "a driver is starting"
    if not any(row["running"] or row["pending"] for row in counts.values()):
        return "finished"
    who = (
        f"process {status.pid} on {status.host}, last heartbeat {status.updated}"
        if status
        else "it left no status"
    )
    return f"no driver is running ({who}); to continue, run: {record['command']}"


def table(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The rows of phase_counts as a text table."""
    head = f"{'phase':<10}" + "".join(f"{name:>9}" for name in COLUMNS)
    return [head] + [
        f"{phase:<10}" + "".join(f"{row[name]:>9}" for name in COLUMNS)
        for phase, row in counts.items()
        if row["planned"]
    ]


def running_lines(running: tuple[Running, ...], since_seconds: float) -> list[str]:
    """A line per running trial; since_seconds is the age of the status."""
    return [
        f"  {one.text}: epoch {one.epoch} of {one.epochs}, for "
        f"{one.seconds + max(0.0, since_seconds):.0f} s"
        for one in running
    ]


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
