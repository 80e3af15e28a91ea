"""One driver a run folder: RUN/driver.lock names the process that drives it, and is touched as long
as it lives.

Made by exclusive creation, which is atomic on NFS too. A dead driver's lock is succeeded by
driver.lock.1, .2 and so on: the highest number holds, so that of two that take over at once exactly
one does.
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
# A driver on another host counts as dead after so long without a sign; NFS may hold a file's time
# back for a minute.
STALE_SECONDS = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A driver: token is its own; born tells it from a later process of the same number; place from
    another machine's.
    """

    host: str
    pid: int
    born: str
    place: str
    since: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lock as it was found. owner None is one whose maker died before it wrote its name."""

    path: Path
    owner: Owner | None
    silent_seconds: float


def myself() -> Owner:
    """This process."""
    return Owner(
        host=platform.node(),
        pid=os.getpid(),
        born=born(os.getpid()),
        place=place(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        token=secrets.token_hex(8),
    )


def take(out: Path) -> Path:
    """Make this process the driver of a run folder and return its lock.

    Raises ValueError naming host and process of a driver that lives; the lock of a dead one is
    taken over.
    """
    if not is_remote(out):
        out.mkdir(parents=True, exist_ok=True)
    while True:
        held = refuse_second(out)
        mine = out / NAME if held is None else successor(held.path)
        if not _create(mine):
            continue
        found = _locks(out)
        if found[-1] == mine:
            for older in found[:-1]:
                delete(older)
            return mine
        delete(mine)


@contextmanager
def driving(out: Path) -> Iterator[Path]:
    """Hold a run folder's lock, see take(). A store that is away in the end keeps it: it is that of
    a dead driver.
    """
    mine = take(out)
    try:
        yield mine
    finally:
        with suppress(StoreUnavailable):
            delete(mine, patience=0)


def refuse_second(out: Path) -> Held | None:
    """The lock of a dead driver, or None where there is none. Raises ValueError where a driver
    lives. Changes nothing.
    """
    held = find(out)
    if held is not None and is_alive(held):
        raise ValueError(refusal(held))
    return held


def find(out: Path) -> Held | None:
    """The lock that holds in a run folder, or None."""
    for path in reversed(_locks(out)):
        with suppress(FileNotFoundError):
            return Held(path=path, owner=_owner(path), silent_seconds=_age(path))
    return None


def is_alive(held: Held) -> bool:
    """Whether the driver still drives: its process is there, or on another machine it gave a sign
    not long ago.
    """
    if held.owner is not None and held.owner.place == place():
        return born(held.owner.pid) == held.owner.born
    return held.silent_seconds < STALE_SECONDS


def is_mine(lock: Path) -> bool:
    """Whether this lock still holds: a machine that slept for long may find its folder
    taken over."""
    found = _locks(lock.parent)
    return bool(found) and found[-1] == lock


def beat(lock: Path) -> None:
    """Give a sign of life; the time is the storage's own. An object's time is that of
    its last PUT."""
    if is_remote(lock):
        put(lock, read_bytes(lock, patience=0), patience=0)
    else:
        os.utime(lock)


def refusal(held: Held) -> str:
    """Why a second driver is refused, and the way out."""
    if held.owner is None:
        return (
            f"{held.path} was made {held.silent_seconds:.0f} s ago by a driver that is "
            "starting; try again in a minute"
        )
    owner, folder = held.owner, held.path.parent
    text = (
        f"{folder} is driven by process {owner.pid} on {owner.host} since {owner.since}; wait "
        "for it or stop it"
    )
    if owner.place == place():
        return text
    return (
        f"{text}; it gave a sign {held.silent_seconds:.0f} s ago, and after {STALE_SECONDS} s of "
        "silence it counts as dead "
        "and the same command takes over"
    )


def born(pid: int) -> str:
    """What tells a process from a later one of the same number: its start in clock ticks since
    boot; "" for no process.
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


def place() -> str:
    """What tells the machine, its boot and its process numbers from another's: containers may share
    a host's name.
    """
    parts = [platform.node()]
    with suppress(OSError):
        parts += [
            Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            os.readlink("/proc/self/ns/pid"),
        ]
    return " ".join(parts)


def successor(path: Path) -> Path:
    """The lock that takes over from this one."""
    return path.with_name(f"{NAME}.{_number(path) + 1}")


def _number(path: Path) -> int:
    found = LOCK.fullmatch(path.name)
    assert found, "a lock"
    return int(found[1] or 0)


def _locks(out: Path) -> list[Path]:
    """Every lock of a run folder, the one that holds last; no other file, whatever its name begins
    with.
    """
    return sorted(
        (path for path in find_files(out, f"{NAME}*", patience=0) if LOCK.fullmatch(path.name)),
        key=_number,
    )


def _create(path: Path) -> bool:
    """Make the lock unless somebody has."""
    if is_remote(path):
        return put_new(path, to_json(myself()).encode())
    try:
        with path.open("x") as file:
            file.write(to_json(myself()))
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
    """Seconds since a lock's last sign by the storage's own clock, so that hosts whose clocks
    differ agree.

    A reader who may not write there has only its own clock to go by, and so has whoever asks an
    object store.
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
