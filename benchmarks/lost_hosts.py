"""What a lost host costs: a small grid on three hosts, with one of them cut off and healed, and
with one killed.

    SEGBENCH_FIXTURES=FOLDER python -m benchmarks.lost_hosts

Needs root. Each row is a cluster of its own, by `ray up`. Lost: trials without a result at the end.
Twice: results that were written again after they were there. Equal: the scores are those of this
machine alone, without a cluster, byte for byte.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.hosts import GRID, HEAD, NUM_TRIALS, Hosts, OnPremises, three_hosts, why_not
from trials.process.versions import processor_name

PATIENCE_SECONDS = 600.0
# Longer than the head waits for a host that is silent, so that the host comes back to a head that
# has given it up.
CUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one run showed."""

    event: str
    done_before: int
    seconds: float
    lost: int
    twice: int
    scores: bytes
    back: bool


def cut_and_heal(hosts: Hosts) -> None:
    """Take the last host's network for a while."""
    hosts.call("cut", 3)
    time.sleep(CUT_SECONDS)
    hosts.call("heal", 3)


EVENTS: dict[str, Callable[[Hosts], object]] = {
    f"cut off for {CUT_SECONDS:.0f} s, then healed": cut_and_heal,
    "killed": lambda hosts: hosts.call("kill", 3),
}


def run(event: str, folder: Path) -> Row:
    """`ray up`, the grid as a job, the event once a result is there and the last host trains, `ray
    down`.
    """
    with three_hosts(folder) as hosts, (folder / "log").open("w") as log:
        return seen(event, OnPremises.on(hosts), log)


def seen(event: str, cluster: OnPremises, log) -> Row:
    """The row of a cluster that is not up yet."""
    hosts, out = cluster.hosts, cluster.hosts.shared / "runs" / "hosts"
    for line in ("ray get-auth-token --generate > /dev/null", "ray up --yes clusters/onprem.yaml"):
        assert cluster.start(line, log).wait(PATIENCE_SECONDS) == 0, f"see {log.name}"
    shared = hosts.shared
    arguments = f"--grid {shared}/my_grid.py --address auto --cache {shared}/cache --out {out}"
    wait_for(lambda: "follow_head" in hosts.processes(2) & hosts.processes(3))
    job = cluster.start(
        f"ray exec clusters/onprem.yaml 'cd && python -m bench.run {arguments}'", log
    )
    started = time.monotonic()
    wait_for(lambda: (results(out) and "ray::Impl" in hosts.processes(3)) or job.poll() is not None)
    before = results(out)
    EVENTS[event](hosts)
    assert job.wait(PATIENCE_SECONDS) == 0, f"see {log.name}"
    seconds = time.monotonic() - started
    after = results(out)
    if event != "killed":
        wait_for(lambda: "raylet" in hosts.processes(3))
    back = event != "killed" and "raylet" in hosts.processes(3)
    cluster.start("ray down --yes clusters/onprem.yaml", log).wait(PATIENCE_SECONDS)
    twice = sum(after[path] != written for path, written in before.items())
    return Row(
        event,
        len(before),
        seconds,
        NUM_TRIALS - len(after),
        twice,
        (out / "scores.parquet").read_bytes(),
        back,
    )


def scores_of_one_machine(folder: Path) -> bytes:
    """The same grid on this machine, without a cluster."""
    (folder / "my_grid.py").write_text(GRID)
    command = [
        sys.executable,
        "-m",
        "bench.run",
        "--grid",
        "my_grid.py",
        "--out",
        str(folder / "run"),
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "run" / "scores.parquet").read_bytes()


def results(out: Path) -> dict[Path, int]:
    """When each result was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("trials/*/result.json")}


def wait_for(condition: Callable[[], object]) -> None:
    """Return when condition holds or patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.3)


def main() -> None:
    """Print the table."""
    if reason := why_not():
        sys.exit(reason)
    print(f"{date.today()}, {processor_name()}; head {HEAD}, 3 hosts, {NUM_TRIALS} trials")
    print(
        f"{'the last host was':<32}{'done before':>12}{'seconds':>9}{'lost':>6}{'twice':>7}"
        f"{'equal':>7}  host's Ray at the end"
    )
    with tempfile.TemporaryDirectory(prefix="segbench-alone-") as folder:
        alone = scores_of_one_machine(Path(folder))
    for event in EVENTS:
        with tempfile.TemporaryDirectory(prefix="segbench-hosts-") as folder:
            row = run(event, Path(folder))
        equal = "yes" if row.scores == alone else "no"
        runs = "runs" if row.back else "gone"
        print(
            f"{event:<32}{row.done_before:>12}{row.seconds:>9.0f}{row.lost:>6}{row.twice:>7}"
            f"{equal:>7}  {runs}",
            flush=True,
        )


if __name__ == "__main__":
    main()
