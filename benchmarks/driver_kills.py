"""A run's driver killed (-9) at random moments and started again: what is lost, what is run twice, what scores come out.

    python benchmarks/driver_kills.py --times 100 --out benchmarks/results/driver_kills.txt

Each driver is a fork of this process, which has imported everything. Its moment is drawn evenly from the time that the trials
of the uninterrupted run took, counted from the first file of its own first trial: before that there is nothing to lose.
A run that ends before its moment is compared and followed by a fresh one.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

# Children find these imported.
import bench.run
import bench.tuning.progress
import bench.tuning.searcher  # noqa: F401
import reports.build  # noqa: F401
import trials.attempt  # noqa: F401
from bench.cli import main as segbench
from trials.environment import processor_name

GRID = """
from dataclasses import replace
from bench.grids import DEMO, Tuning, product

TINY = replace(
    DEMO,
    name="tiny",
    generate={"num_cases": 11, "seed": 1},
    cells=product(("unet3d",), ("combined", "focal"), ("none",)),
    tuning=Tuning(trials=3, epochs=1),
    recipes={"3d": replace(DEMO.recipes["3d"], epochs=2, steps_per_epoch=2, train_cases_scored=0)},
)
"""
TRIALS = 8


@dataclass
class Tally:
    """What is counted over all kills. seen maps a result's file to the write that was first seen of it."""

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
        found = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("trials/*/result.json")}
        mine = {path: write for path, write in self.seen.items() if out in path.parents}
        self.lost += len(mine.keys() - found.keys())
        self.run_twice += sum(found[path] != write for path, write in mine.items() if path in found)
        self.seen |= found


def start(folder: Path, out: Path) -> int:
    """Fork a driver on a run folder; returns its process id."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    # A fork shares its parent's random state; Ray names its sessions and sockets by the clock and the process.
    log = os.open(folder / "driver.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    arguments = ["run", "--grid", str(folder / "grid.py"), "--out", str(out), "--checkpoint-minutes", "0"]
    code = segbench(arguments)
    sys.stdout.flush()
    os._exit(code)


def written(out: Path) -> set[tuple[Path, int]]:
    """Every trial's folder, with the time at which a file last came or went in it."""
    return {(path, path.stat().st_mtime_ns) for path in out.glob("trials/*")}


def watch(child: int, out: Path, tally: Tally, seconds: float) -> int | None:
    """Look at the results until the driver ends, or trials have run for so many seconds.

    Returns its exit code, None if it still runs.
    """
    before, ends = written(out), float("inf")
    while time.monotonic() < ends:
        tally.look(out)
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            tally.look(out)
            return os.waitstatus_to_exitcode(status)
        if ends == float("inf") and written(out) - before:
            ends = time.monotonic() + seconds
        time.sleep(min(0.05, max(0.0, ends - time.monotonic())))
    return None


def compare(folder: Path, out: Path, code: int, tally: Tally) -> None:
    """Count a run that came to its end."""
    tally.runs += 1
    if code or len(list(out.glob("trials/*/result.json"))) != TRIALS:
        tally.failed.append(f"{out.name}: exit code {code}")
    elif (out / "scores.parquet").read_bytes() != (folder / "straight" / "scores.parquet").read_bytes():
        tally.different += 1
    shutil.rmtree(out)


def kill_often(folder: Path, times: int, span: float, tally: Tally) -> None:
    """Kill drivers until so many were killed, then let the last run end."""
    out = folder / "killed-0"
    while True:
        child = start(folder, out)
        rest = tally.kills >= times
        code = watch(child, out, tally, 1800.0 if rest else random.uniform(0.0, span))
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            tally.kills += 1
            tally.kept += len(list(out.glob("trials/*/result.json")))
            print(report(times, span, tally), flush=True)
            shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
            continue
        compare(folder, out, code, tally)
        if rest:
            return
        out = folder / f"killed-{tally.runs}"


def report(times: int, span: float, tally: Tally) -> str:
    """The table."""
    return "\n".join(
        [
            f"driver killed (-9) at random moments, {datetime.now():%Y-%m-%d %H:%M}, {processor_name()}",
            f"grid of {TRIALS} trials on one thread each, which run for {span:.0f} s uninterrupted; moments drawn from these",
            f"kills                               {tally.kills} of {times}",
            f"results there when killed, summed   {tally.kept}",
            f"finished trials lost                {tally.lost}",
            f"finished trials run twice           {tally.run_twice}",
            f"runs that came to their end         {tally.runs}",
            f"with another scores.parquet         {tally.different}",
            f"that failed                         {len(tally.failed)} {'; '.join(tally.failed)}",
        ]
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    random.seed(given.seed)
    # Ray's sockets want a short path, and each killed session leaves a folder.
    folder, os.environ["RAY_TMPDIR"] = Path(tempfile.mkdtemp(prefix="kills-")), tempfile.mkdtemp(prefix="rk-", dir="/tmp")
    try:
        (folder / "grid.py").write_text(GRID)
        tally = Tally()
        assert watch(start(folder, folder / "straight"), folder / "straight", Tally(), 1800.0) == 0, folder / "driver.log"
        files = [path.stat().st_mtime for path in (folder / "straight").glob("trials/*/*.*")]
        span = max(files) - min(files)
        kill_often(folder, given.times, span, tally)
        print(text := report(given.times, span, tally))
        if given.out:
            given.out.write_text(text + "\n")
    finally:
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
    if not (tally.lost or tally.run_twice or tally.different or tally.failed):
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
