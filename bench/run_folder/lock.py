"""One driver per run folder: RUN/driver.lock names the process that drives it and is touched while
it runs.

The lock is created exclusively, which is atomic on NFS too. The lock of a dead driver is followed
by driver.lock.1, .2 and so on. The highest number is valid, so if two drivers take over at once,
exactly one succeeds.
"""

import os
import platform
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trials.records.codec import from_json, to_json
from trials.storage.atomic import (
    UNFINISHED,
    delete,
    find_files,
    is_remote,
    modified_ns,
    read_bytes,
    read_text,
)
from trials.storage.object_store import StoreUnavailable, put, put_new

NAME = "driver.lock"
LOCK = re.compile(r"driver\.lock(?:\.([0-9]{1,9}))?")
BEAT_SECONDS = 10
# A driver on another host counts as dead after this many seconds without a heartbeat; NFS may delay
# the time of a file by a minute.
STALE_SECONDS = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A driver. token is unique; born, its start time, detects a reused PID; place identifies the
    machine; job is its SLURM job, "" for none, and restart how often SLURM had queued it again.
    """

    host: str
    pid: int
    born: str
    place: str
    since: str
    token: str
    job: str = ""
    restart: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLock:
    """A lock that was found. owner None: its driver has not written its name, or died before it
    did.
    """

    path: Path
    owner: Owner | None
    silent_seconds: float


def this_process() -> Owner:
    """This process as an owner."""
    return Owner(
        host=platform.node(),
        pid=os.getpid(),
        born=process_start(os.getpid()),
        place=machine_id(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        token=secrets.token_hex(8),
        job=slurm_job(),
        restart=slurm_restart(),
    )


def acquire_lock(out: Path) -> Path:
    """Make this process the driver of a run folder and return its lock.

    Raises ValueError naming host and process of a living driver. Takes over the lock of a dead one.
    """
    if not is_remote(out):
        out.mkdir(parents=True, exist_ok=True)
    while True:
        held = refuse_second_driver(out)
        mine = out / NAME if held is None else next_lock(held.path)
        if not _create(mine):
            continue
        found = _locks(out)
        if found[-1] == mine:
            for older in found[:-1]:
                delete(older)
            return mine
        delete(mine)


@contextmanager
def hold_lock(out: Path) -> Iterator[Path]:
    """Hold the lock of a run folder while the block runs. If a store is unavailable at the end, the
    lock remains; it then counts as that of a dead driver.
    """
    mine = acquire_lock(out)
    try:
        yield mine
    finally:
        with suppress(StoreUnavailable):
            delete(mine, patience=0)


def refuse_second_driver(out: Path) -> FoundLock | None:
    """The lock of a dead driver, or None if there is none. Raises ValueError if a driver is alive.
    Changes nothing.
    """
    held = find_lock(out)
    if held is not None and is_alive(held):
        raise ValueError(lock_message(held))
    return held


def find_lock(out: Path) -> FoundLock | None:
    """The valid lock of a run folder, or None."""
    for path in reversed(_locks(out)):
        with suppress(FileNotFoundError):
            return FoundLock(path=path, owner=_owner(path), silent_seconds=_age(path))
    return None


def is_alive(held: FoundLock) -> bool:
    """Whether the driver is alive: its process exists, or on another machine its last heartbeat is
    recent and this process is no later start of the same SLURM job.
    """
    if held.owner is not None and held.owner.place == machine_id():
        return process_start(held.owner.pid) == held.owner.born
    if held.owner is not None and held.owner.job and held.owner.job == slurm_job():
        return held.owner.restart >= slurm_restart()
    return held.silent_seconds < STALE_SECONDS


def is_valid(lock: Path) -> bool:
    """Whether this lock is still valid. After a long suspend another machine may have taken over
    the folder.
    """
    found = _locks(lock.parent)
    return bool(found) and found[-1] == lock


def touch_lock(lock: Path) -> None:
    """Touch the lock. The storage sets the time; for an object it is that of its last PUT."""
    if is_remote(lock):
        put(lock, read_bytes(lock, patience=0), patience=0)
    else:
        os.utime(lock)


def lock_message(held: FoundLock) -> str:
    """The error message for a second driver."""
    if held.owner is None:
        return (
            f"{held.path} was made {held.silent_seconds:.0f} s ago by a driver that is "
            "starting; try again in a minute"
        )
    owner, folder = held.owner, held.path.parent
    text = (
        f"{folder} is in use by process {owner.pid} on {owner.host} since {owner.since}; "
        "wait for it or stop it"
    )
    if owner.place == machine_id():
        return text
    return (
        f"{text}; its last heartbeat was {held.silent_seconds:.0f} s ago; after {STALE_SECONDS} s "
        "without one, rerun the same command to take over"
    )


def process_start(pid: int) -> str:
    """The start time of a process in clock ticks since boot, which detects a reused PID; "" for no
    process.
    """
    if not Path("/proc/self/stat").is_file():
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return "alive"
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def machine_id() -> str:
    """An identifier of the machine, its boot and its PID namespace: containers may share a host
    name.
    """
    parts = [platform.node()]
    with suppress(OSError):
        parts += [
            Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            os.readlink("/proc/self/ns/pid"),
        ]
    return " ".join(parts)


def slurm_job() -> str:
    """The SLURM job that this process belongs to, "" for none."""
    job = os.environ.get("SLURM_JOB_ID", "")
    return job and f"{os.environ.get('SLURM_CLUSTER_NAME', '')} {job}"


def slurm_restart() -> int:
    """How often SLURM has queued this process's job again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def next_lock(path: Path) -> Path:
    """The path of the lock that takes over from this one."""
    return path.with_name(f"{NAME}.{_number(path) + 1}")


def _number(path: Path) -> int:
    found = LOCK.fullmatch(path.name)
    assert found, "a lock"
    return int(found[1] or 0)


def _locks(out: Path) -> list[Path]:
    """Every lock of a run folder, the valid one last. Ignores other files with a similar name."""
    return sorted(
        (path for path in find_files(out, f"{NAME}*", patience=0) if LOCK.fullmatch(path.name)),
        key=_number,
    )


def _create(path: Path) -> bool:
    """Create the lock; False if it exists."""
    if is_remote(path):
        return put_new(path, to_json(this_process()).encode())
    try:
        with path.open("x") as file:
            file.write(to_json(this_process()))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _owner(path: Path) -> Owner | None:
    try:
        return from_json(Owner, read_text(path))
    except ValueError:
        return None


def _age(path: Path) -> float:
    """Seconds since a lock's last heartbeat by the clock of the storage, so that hosts with
    different clocks agree.

    A reader without write access uses its own clock, and so does every reader of an object store.
    """
    sign = modified_ns(path, patience=0) / 1e9
    if is_remote(path):
        return max(0.0, time.time() - sign)
    try:
        with tempfile.NamedTemporaryFile(
            prefix=".now.", suffix=UNFINISHED, dir=path.parent
        ) as file:
            now = os.stat(file.fileno()).st_mtime
    except OSError:
        now = time.time()
    return max(0.0, now - sign)
