"""A run's driver killed (-9) at random moments and started again: what is lost, what is run twice,
what scores come out.

    python -m benchmarks.driver_kills --times 100 --out benchmarks/results/driver_kills.txt

One run folder is killed again and again until its grid is done, then a fresh one. All share a Ray
of one node and one worker, which goes on when a driver dies. Each driver is a fork of this process,
which has imported everything, and ends with its tables: pages are not asked about. Its moment is
drawn by what happens in its trials' folders, so that a busy machine changes nothing: after so many
changes and a part of the time to the next. Before its first one there is nothing to lose. Ctrl-C
writes what was counted until then.
"""

import argparse
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

# Children find these imported.
import bench.run
import bench.tuning.driver
import trials.training.attempt  # noqa: F401
from bench.cli import main as segbench
from benchmarks.tiny_grid import tiny_grid
from reports.load.run_folder import read_run
from reports.table import write_tables
from trials.process.versions import processor_name

GRID = tiny_grid("Tuning(trials=8, epochs=2)", epochs=3, steps=4, seeds=(0, 1, 2))
TRIALS = 22
# Files come and go about five times a trial: a driver lives for three of them at most.
MOST_CHANGES = 15


@dataclass
class Tally:
    """What is counted over all kills. seen maps a result's file to the write that was first seen of
    it.
    """

    kills: int = 0
    kept: int = 0
    lost: int = 0
    run_twice: int = 0
    runs: int = 0
    different: int = 0
    failed: list[str] = field(default_factory=list)
    seen: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def look(self, out: Path) -> None:
        """Compare the results in a run folder with what was seen of them before."""
        found = {
            path: (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in out.glob("trials/*/result.json")
        }
        mine = {path: write for path, write in self.seen.items() if out in path.parents}
        self.lost += len(mine.keys() - found.keys())
        self.run_twice += sum(found[path] != write for path, write in mine.items() if path in found)
        self.seen |= found


@contextmanager
def ray_of_one_worker(log: IO[str]) -> Iterator[str]:
    """The address of a Ray that goes on when a driver dies, and ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "ray",
        "start",
        "--head",
        "--num-cpus=1",
        f"--port={port}",
        "--include-dashboard=false",
        "--block",
    ]
    ray = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        while not answers(port):
            assert ray.poll() is None, f"Ray does not start; look into {log.name}"
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        ray.terminate()
        ray.wait()


def answers(port: int) -> bool:
    """Whether anybody listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def start(folder: Path, out: Path, address: str) -> int:
    """Fork a driver on a run folder; returns its process id."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    log = os.open(folder / "driver.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    bench.run.write_report = tables_alone
    arguments = [
        "run",
        "--grid",
        str(folder / "grid.py"),
        "--out",
        str(out),
        "--checkpoint-minutes",
        "0",
        "--address",
        address,
    ]
    code = segbench(arguments)
    sys.stdout.flush()
    os._exit(code)


def tables_alone(out: Path) -> Path:
    """What a run leaves at its end, without the page."""
    write_tables(read_run(out))
    return out


def written(out: Path) -> set[tuple[Path, int]]:
    """Every trial's folder, with the time at which a file last came or went in it."""
    return {(path, path.stat().st_mtime_ns) for path in out.glob("trials/*")}


def watch(child: int, out: Path, tally: Tally, moment: float) -> int | None:
    """Look at the results until the driver ends, or is killed after so many changes and a part of
    the time to the next.

    Returns its exit code, None if it was killed. Of a moment below 1 nobody is killed.
    """
    part, whole = math.modf(moment)
    before, changes, last, ends = written(out), 0, time.monotonic(), float("inf")
    try:
        while time.monotonic() < ends:
            tally.look(out)
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                child = 0
                tally.look(out)
                return os.waitstatus_to_exitcode(status)
            if (now := written(out)) != before:
                gap, last = time.monotonic() - last, time.monotonic()
                before, changes = now, changes + 1
                if changes == whole:
                    # Before the first change lies the start, which says nothing about the pace.
                    ends = last + part * (gap if changes > 1 else 1.0)
            time.sleep(min(0.03, max(0.0, ends - time.monotonic())))
        return None
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def compare(folder: Path, out: Path, code: int, tally: Tally) -> None:
    """Count a run that came to its end."""
    tally.runs += 1
    if code or len(list(out.glob("trials/*/result.json"))) != TRIALS:
        tally.failed.append(f"{out.name}: exit code {code}")
    elif (out / "scores.parquet").read_bytes() != (
        folder / "straight" / "scores.parquet"
    ).read_bytes():
        tally.different += 1
    shutil.rmtree(out)


def kill_often(folder: Path, address: str, times: int, tally: Tally) -> None:
    """Kill drivers until so many were killed, then let the last run end; a run that fails ends it
    all, to be looked into.
    """
    while not tally.failed:
        out, is_last = folder / f"killed-{tally.runs}", tally.kills >= times
        moment = 0.0 if is_last else random.uniform(1.0, MOST_CHANGES)
        code = watch(start(folder, out, address), out, tally, moment)
        if code is not None:
            compare(folder, out, code, tally)
            if is_last:
                return
            continue
        there = len(list(out.glob("trials/*/result.json")))
        tally.kills += 1
        tally.kept += there
        print(
            f"{datetime.now():%H:%M:%S} kill {tally.kills}: {there} of {TRIALS} trials done",
            file=sys.stderr,
            flush=True,
        )


def report(times: int, seconds: float, tally: Tally) -> str:
    """The table."""
    return "\n".join(
        [
            f"driver killed (-9) at random moments, {datetime.now():%Y-%m-%d %H:%M}, "
            f"{processor_name()}",
            f"grid of {TRIALS} trials, one worker with one thread; each driver killed within about "
            "three trials",
            f"kills                               {tally.kills} of {times}, one in "
            f"{seconds / max(1, tally.kills):.0f} s",
            f"results there when killed, summed   {tally.kept}",
            f"finished trials lost                {tally.lost}",
            f"finished trials run twice           {tally.run_twice}",
            f"runs that came to their end         {tally.runs}",
            f"with another scores.parquet         {tally.different}",
            f"that failed                         {len(tally.failed)} "
            f"{'; '.join(tally.failed)}".rstrip(),
        ]
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    random.seed(given.seed)
    # Workers as nice as this process: Ray's own default is nicer and starves beside other work. Its
    # sockets want a short path.
    own = {
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_TMPDIR": tempfile.mkdtemp(prefix="rk-", dir="/tmp"),
    }
    os.environ |= own
    folder, tally = Path(tempfile.mkdtemp(prefix="kills-")), Tally()
    (folder / "grid.py").write_text(GRID)
    try:
        with (folder / "ray.log").open("w") as log, ray_of_one_worker(log) as address:
            print(text := count(folder, address, given.times, tally))
        if given.out:
            given.out.write_text(text + "\n")
    finally:
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
    if not (tally.lost or tally.run_twice or tally.different or tally.failed):
        shutil.rmtree(folder)


def count(folder: Path, address: str, times: int, tally: Tally) -> str:
    """One run without kills, then so many kills, fewer after Ctrl-C; returns the table."""
    begun, straight = time.monotonic(), folder / "straight"
    code = watch(start(folder, straight, address), straight, Tally(), 0.0)
    assert code == 0, f"look into {folder}/driver.log"
    print(f"uninterrupted: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    begun = time.monotonic()
    with suppress(KeyboardInterrupt):
        kill_often(folder, address, times, tally)
    return report(times, time.monotonic() - begun, tally)


if __name__ == "__main__":
    main()
