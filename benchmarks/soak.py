"""A soak: on a simulated cluster of three nodes something breaks every minute or so, and no
finished result may be lost.

    python -m benchmarks.soak --minutes 20 --out benchmarks/results/soak.txt
    python -m benchmarks.soak --only "driver killed" --least 100 --every 20
    python -m benchmarks.soak --only "worker killed" --least 100 --every 5

A small grid is run again and again, each time into a new folder. Its scores and its final weights
are compared with those of a run that was left alone, byte for byte. The nodes are Ray's own
simulation (ray.cluster_utils.Cluster): processes of one machine that share its disk.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from benchmarks.breaking import FAULTS, NODE, Soak
from benchmarks.tiny_grid import tiny_grid
from trials.process.versions import processor_name
from trials.records.result import COMPLETE, PRUNED
from trials.records.result_file import find_result

GRID = tiny_grid("Tuning(trials=3, epochs=2)", epochs=6, steps=12, seeds=(0, 1))
TRIALS = 10
NODES = 3
LOST = (
    "results lost",
    "trials run twice",
    "trials missing or failed",
    "runs with other scores",
    "trials with other final weights",
)


def ended(soak: Soak) -> None:
    """Count a run whose driver has ended, and compare it with the one that was left alone."""
    assert soak.run is not None
    soak.look()
    results = [find_result(soak.out, path.parent.name) for path in soak.results()]
    done = sum(result is not None and result.state in (COMPLETE, PRUNED) for result in results)
    soak.counts["runs"] += 1
    soak.counts["trials done"] += done
    soak.counts["trials missing or failed"] += TRIALS - done
    tables = [folder / "scores.parquet" for folder in (soak.folder / "alone", soak.out)]
    equal = (
        all(table.is_file() for table in tables)
        and tables[0].read_bytes() == tables[1].read_bytes()
    )
    soak.counts["runs with other scores"] += not equal
    alone, mine = (final_weights(folder) for folder in (soak.folder / "alone", soak.out))
    soak.counts["trials with other final weights"] += sum(
        mine.get(trial) != digest for trial, digest in alone.items()
    )
    if soak.run.returncode or not equal or done != TRIALS:
        last = (soak.folder / "driver.log").read_text(errors="replace").splitlines()[-5:]
        soak.told.append(
            f"{soak.out.name} ended with exit code {soak.run.returncode}: {' / '.join(last)}"
        )


def final_weights(out: Path) -> dict[str, str]:
    """Digest of the weights that each trial of a run ended with."""
    return {
        path.parent.name: sha256(path.read_bytes()).hexdigest()
        for path in out.glob("trials/*/best.pt")
    }


def break_things(soak: Soak, given: argparse.Namespace, show: Callable[[], object]) -> None:
    """A fault every so many seconds on average for so many minutes, and until there were enough,
    while runs follow one another.

    The last one is left to end.
    """
    begun, next_fault = time.monotonic(), time.monotonic() + given.every / 2
    kinds = [given.only] if given.only else list(FAULTS)
    while True:
        is_over = (
            time.monotonic() - begun > 60 * given.minutes and soak.faults.total() >= given.least
        )
        if soak.run is None or soak.run.poll() is not None:
            if soak.run is not None:
                ended(soak)
                show()
            if is_over:
                return
            soak.out = soak.folder / f"soaked-{soak.counts['runs']}"
            soak.start()
        if not is_over and time.monotonic() >= next_fault:
            soak.bag = soak.bag or soak.chance.sample(kinds, len(kinds))
            # Where there is nothing to break yet, its turn comes at the next look.
            if FAULTS[soak.bag[-1]](soak):
                soak.faults[soak.bag.pop()] += 1
                next_fault += soak.chance.uniform(0, 2 * given.every)
                show()
        soak.look()
        time.sleep(0.5)


def report(soak: Soak, given: argparse.Namespace, seconds: float) -> str:
    """The counts as text."""
    return "\n".join(
        [
            f"python -m benchmarks.soak --minutes {given.minutes:g} --every {given.every:g}"
            + (f" --only '{given.only}'" if given.only else ""),
            f"{datetime.now():%Y-%m-%d %H:%M}, {processor_name()}",
            f"{NODES} simulated nodes of one core, a grid of {TRIALS} trials again and again, "
            f"{seconds / 60:.1f} minutes",
            "",
            *(f"{soak.counts[name]:4}  {name}" for name in ("runs", "trials done", *LOST)),
            "",
            f"{soak.faults.total():4}  faults, of these",
            *(f"{soak.faults[name]:4}  {name}" for name in FAULTS),
            *soak.told,
        ]
    )


def arguments() -> argparse.Namespace:
    """What may be given on the command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=20)
    options.add_argument(
        "--every", type=float, default=60, help="mean seconds from one fault to the next"
    )
    options.add_argument(
        "--least", type=int, default=0, help="faults that there must have been before it ends"
    )
    options.add_argument("--only", choices=FAULTS, help="one kind of fault instead of all")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    return options.parse_args()


def soaked(given: argparse.Namespace, folder: Path) -> tuple[Soak, str]:
    """A run on a local cluster of several nodes, broken until the time is over, and what it came
    to.
    """
    from ray.cluster_utils import Cluster

    (folder / "grid.py").write_text(GRID)
    head = {**NODE, "num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(**NODE) for _ in range(NODES)]
        cluster.wait_for_nodes()
        chance = random.Random(given.seed)
        soak = Soak(
            cluster=cluster, nodes=nodes, folder=folder, chance=chance, out=folder / "alone"
        )
        soak.start()
        assert soak.run is not None
        assert soak.run.wait() == 0, (folder / "driver.log").read_text()
        soak.run, begun = None, time.monotonic()
        break_things(
            soak, given, lambda: print(report(soak, given, time.monotonic() - begun), flush=True)
        )
        return soak, report(soak, given, time.monotonic() - begun)
    finally:
        cluster.shutdown()


def main() -> int:
    given = arguments()
    os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="rs-", dir="/tmp")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        soak, text = soaked(given, folder)
    finally:
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")
    return any(soak.counts[name] for name in LOST)


if __name__ == "__main__":
    sys.exit(main())
