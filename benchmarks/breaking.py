"""What breaks in benchmarks/soak.py: a cluster, the run on it, and the faults that are laid on
both. Linux only.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FULL_DISK_SECONDS = 5.0
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


@dataclass(slots=True, kw_only=True)
class Soak:
    """A cluster, the run on it, and what was counted.

    seen maps a result's file to the write that was first seen of it, spoiled those that were
    damaged on purpose to that write; bag holds the faults whose turn is still to come.
    """

    cluster: Any
    nodes: list[Any]
    folder: Path
    chance: random.Random
    out: Path = Path()
    run: subprocess.Popen | None = None
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seen: dict[Path, tuple[int, int]] = field(default_factory=dict)
    spoiled: dict[Path, tuple[int, int]] = field(default_factory=dict)
    bag: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start the driver of the present run folder, as a user types it."""
        command = [
            sys.executable,
            "-m",
            "bench.run",
            "--grid",
            str(self.folder / "grid.py"),
            "--out",
            str(self.out),
        ]
        command += ["--address", self.cluster.address, "--checkpoint-minutes", "0"]
        log = (self.folder / "driver.log").open("ab")
        self.run = subprocess.Popen(command, stdout=log, stderr=log)

    def look(self) -> None:
        """Count results that are gone, or were written again although nobody damaged them."""
        writes = {path: written(path) for path in self.results()}
        found = {path: write for path, write in writes.items() if self.spoiled.get(path) != write}
        mine = {path: write for path, write in self.seen.items() if self.out in path.parents}
        self.counts["results lost"] += len(mine.keys() - found.keys())
        self.counts["trials run twice"] += sum(
            found[path] != write for path, write in mine.items() if path in found
        )
        self.seen = {path: write for path, write in self.seen.items() if path not in mine} | found

    def results(self) -> list[Path]:
        """Every result of the present run."""
        return sorted(self.out.glob("trials/*/result.json"))

    def trainers(self) -> list[int]:
        """The processes of this cluster in which trials run."""
        raylets = {node.all_processes["raylet"][0].process.pid for node in self.nodes}
        return [
            pid
            for pid, parent, name in processes()
            if parent in raylets and name.startswith("ray::ImplicitFunc")
        ]


def written(path: Path) -> tuple[int, int]:
    """What tells one write of a file from another."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent's number and title of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            yield (
                int(folder.name),
                int(fields[1]),
                (folder / "cmdline").read_bytes().decode(errors="replace"),
            )


def kill_worker(soak: Soak) -> bool:
    """One process that trains is killed."""
    return kill_one(soak.trainers(), soak.chance)


def kill_one(pids: list[int], chance: random.Random) -> bool:
    """Kill one of these processes; False where there is none."""
    if not pids:
        return False
    with suppress(ProcessLookupError):
        os.kill(chance.choice(pids), signal.SIGKILL)
    return True


def exchange_node(soak: Soak) -> bool:
    """A node is killed with all that runs on it, and another joins."""
    lost = soak.nodes.pop(soak.chance.randrange(len(soak.nodes)))
    soak.cluster.remove_node(lost, allow_graceful=False)
    soak.nodes.append(soak.cluster.add_node(**NODE))
    return True


def damage_cube(soak: Soak) -> bool:
    """A prepared cube is replaced by one with a flipped bit; who has it open keeps the old one, who
    opens it must notice.
    """
    path = soak.chance.choice(sorted((soak.folder / "cache").rglob("cases/*.npy")))
    copy = path.with_name("damaged")
    copy.write_bytes(flipped(path.read_bytes(), soak.chance))
    copy.replace(path)
    return kill_worker(soak)


def cut_cube(soak: Soak) -> bool:
    """A prepared cube is truncated to zero bytes in place: the system kills a process that has it
    mapped.
    """
    os.truncate(soak.chance.choice(sorted((soak.folder / "cache").rglob("cases/*.npy"))), 0)
    return True


def damage_checkpoint(soak: Soak) -> bool:
    """The newest checkpoint of every running trial gets a flipped bit, and one worker is killed."""
    newest = {path.parent: path for path in sorted(soak.out.glob("trials/*/checkpoint-*.pt"))}
    for path in newest.values():
        with suppress(FileNotFoundError):
            path.write_bytes(flipped(path.read_bytes(), soak.chance))
    return bool(newest) and kill_worker(soak)


def damage_result(soak: Soak) -> bool:
    """A result gets a flipped bit, and the driver is killed and started again: that trial alone is
    due again.
    """
    if not soak.results():
        return False
    path = soak.chance.choice(soak.results())
    soak.look()
    path.write_bytes(flipped(path.read_bytes(), soak.chance))
    soak.spoiled[path] = written(path)
    soak.seen.pop(path, None)
    return kill_driver(soak)


def kill_driver(soak: Soak) -> bool:
    """The driver is killed and the same command given again."""
    assert soak.run is not None
    soak.run.kill()
    soak.run.wait()
    soak.start()
    return True


def fill_disk(soak: Soak) -> bool:
    """For some seconds no training process can write more than a kilobyte into a file."""
    pids = soak.trainers()
    for size in (1024, resource.RLIM_INFINITY):
        for pid in pids:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        time.sleep(FULL_DISK_SECONDS if size == 1024 else 0)
    return bool(pids)


FAULTS: dict[str, Callable[[Soak], bool]] = {
    "worker killed": kill_worker,
    "node killed, another added": exchange_node,
    "cube damaged, worker killed": damage_cube,
    "cube cut while mapped": cut_cube,
    "checkpoints damaged, worker killed": damage_checkpoint,
    "result damaged, driver killed": damage_result,
    "driver killed": kill_driver,
    "disk full for 5 s": fill_disk,
}


def flipped(content: bytes, chance: random.Random) -> bytes:
    """The same bytes but for one bit."""
    place = chance.randrange(len(content))
    return (
        content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
    )
