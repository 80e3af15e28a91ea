"""A small grid on a simulated cluster: a node is removed while it trains and another added; every
trial must complete.

    python -m benchmarks.nodes_come_and_go --out benchmarks/results/nodes_come_and_go.txt

The nodes are Ray's own simulation (ray.cluster_utils.Cluster): processes of one machine that share
its disk. The scores are compared with those of the same grid on this machine alone.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from benchmarks.tiny_grid import tiny_grid

GRID = tiny_grid("Tuning(trials=2, epochs=1)", epochs=4, steps=4)
TRIALS = 6


def start(folder: Path, out: str, *more: str) -> subprocess.Popen:
    """Start a run of the grid."""
    command = [
        sys.executable,
        "-m",
        "bench.run",
        "--grid",
        str(folder / "grid.py"),
        "--out",
        str(folder / out),
    ]
    command += ["--checkpoint-minutes", "0", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results(out: Path) -> int:
    """How many trials have a result."""
    return len(list(out.glob("trials/*/result.json")))


def wait_for(condition, run: subprocess.Popen) -> None:
    """Wait until a condition holds or the run ends."""
    while run.poll() is None and not condition():
        time.sleep(0.05)


def come_and_go(folder: Path) -> list[str]:
    """Run the grid on two nodes, remove one that trains, add another; returns what
    happened when."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    run, begun, told = start(folder, "cluster", "--address", cluster.address), time.monotonic(), []

    def tell(what: str) -> None:
        told.append(
            f"{time.monotonic() - begun:6.1f} s  {what}, {results(folder / 'cluster')} of {TRIALS} "
            "trials done"
        )

    wait_for(
        lambda: (
            results(folder / "cluster")
            and list((folder / "cluster").glob("trials/*/checkpoint-*.pt"))
        ),
        run,
    )
    cluster.remove_node(nodes[0], allow_graceful=False)
    tell("a node was killed")
    cluster.add_node(num_cpus=1)
    tell("another joined")
    _, errors = run.communicate()
    tell(f"the run ended with exit code {run.returncode}")
    if run.returncode:
        told.append(errors[-2000:])
    cluster.shutdown()
    return told


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    # Ray's sockets want a short path.
    os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="rn-", dir="/tmp")
    folder = Path(tempfile.mkdtemp(prefix="nodes-"))
    (folder / "grid.py").write_text(GRID)
    try:
        alone = start(folder, "alone")
        alone.communicate()
        told = come_and_go(folder)
        tables = [folder / out / "scores.parquet" for out in ("alone", "cluster")]
        equal = (
            all(table.is_file() for table in tables)
            and tables[0].read_bytes() == tables[1].read_bytes()
        )
        lines = [
            f"a node removed and one added, {datetime.now():%Y-%m-%d %H:%M}, two simulated nodes "
            "of one core",
            *told,
        ]
        lines.append(
            f"scores.parquet is {'' if equal else 'NOT '}that of the run on one machine alone"
        )
        print(text := "\n".join(lines))
        if given.out:
            given.out.write_text(text + "\n")
    finally:
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
