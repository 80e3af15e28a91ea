"""The commands of docs/cluster.md for machines of one's own, run as printed on three hosts, one of
which is killed.
"""

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from conftest import PAGES

from benchmarks.hosts import HEAD, NUM_TRIALS, WORKERS, OnPremises, three_hosts, why_not

REASON = why_not()
pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(REASON), reason=REASON)]
SECTION = PAGES["cluster"].partition("## Machines of your own\n")[2]
LINES = [
    line
    for block in re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
    for line in block.strip().splitlines()
]
# A folder that each host has for itself.
OWN = "/root/runs/apart"
# Minutes where half a minute is usual: two busy cores must not fail it.
PATIENCE = 240


@dataclass(frozen=True)
class Story:
    """What the commands printed, and what was seen in between."""

    log: str
    code: int
    done_at_the_kill: int
    listens: bool
    report: Path
    trials: pd.DataFrame
    left: set[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Story:
    """The page's lines, once through, on hosts that end with the test."""
    with three_hosts(tmp_path_factory.mktemp("hosts")) as hosts:
        return told(OnPremises.on(hosts))


def told(cluster: OnPremises) -> Story:
    """Run the lines in their order; once a result is there and the last host trains, kill it."""
    hosts, run = cluster.hosts, cluster.hosts.shared / "runs" / "full"
    _, token, up, variables, doctor, submit, fetch, down = [
        adapted(line, cluster) for line in LINES
    ]
    path = hosts.folder / "log"
    with path.open("w") as log:
        for line in (token, up):
            assert cluster.start(line, log).wait(PATIENCE) == 0, path.read_text()
        tunnel = cluster.start(f"ray dashboard --port {cluster.port} clusters/onprem.yaml", log)
        wait_for(
            lambda: (
                answers("127.0.0.1", cluster.port)
                and "follow_head" in hosts.processes(2) & hosts.processes(3)
            )
        )
        cluster.start(doctor, log).wait(PATIENCE)
        listens = answers(HEAD, 8265)
        cluster.start(apart(doctor, submit), log).wait(PATIENCE)
        job = cluster.start(f"{variables} && {submit}", log)
        wait_for(
            lambda: (
                (num_results(run) and "ray::Impl" in hosts.processes(3)) or job.poll() is not None
            )
        )
        done = num_results(run)
        hosts.call("kill", 3)
        code = job.wait(PATIENCE)
        cluster.start(fetch, log).wait(PATIENCE)
        cluster.start(down, log).wait(PATIENCE)
        os.killpg(tunnel.pid, signal.SIGTERM)
    trials = pd.read_parquet(run / "trials.parquet") if code == 0 else pd.DataFrame()
    wait_for(lambda: not (hosts.processes(1) | hosts.processes(2)))
    left = hosts.processes(1) | hosts.processes(2)
    return Story(
        path.read_text(), code, done, listens, cluster.project / "report.html", trials, left
    )


def adapted(line: str, cluster: OnPremises) -> str:
    """A line of the page with the test's own port, storage and grid."""
    own = {"/shared": str(cluster.hosts.shared), "127.0.0.1:8265": f"127.0.0.1:{cluster.port}"}
    for printed, used in own.items():
        line = line.replace(printed, used)
    return re.sub(r"--grid full", f"--grid {cluster.hosts.shared / 'my_grid.py'}", line)


def apart(doctor: str, submit: str) -> str:
    """The submitted run, started through SSH as doctor is, with its folder on the head's own disk;
    it prepares the data.
    """
    options = re.sub(r"--out \S+", f"--out {OWN}", submit.partition("bench.run ")[2])
    return re.sub("'segbench doctor .*'", f"'segbench run {options}; echo exit code $?'", doctor)


def num_results(run: Path) -> int:
    return len(list(run.glob("trials/*/result.json")))


def answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], object]) -> None:
    """Return when condition holds, or when patience ends: what follows asserts it."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.5)


def test_f68_a_job_whose_host_is_killed_ends_with_every_trial(story):
    assert story.code == 0, story.log[-6000:]
    assert 1 <= story.done_at_the_kill < NUM_TRIALS
    assert story.trials.state.tolist() == ["COMPLETE"] * NUM_TRIALS


def test_doctor_asks_every_host_for_the_shared_storage(story):
    assert re.search(r"fine\W.*storage\W.*3 nodes read and write", story.log)


def test_a_run_folder_that_two_hosts_do_not_see_is_refused_in_a_sentence_that_names_them(story):
    assert (
        f"segbench: {OWN} is not shared: {WORKERS[0]}, {WORKERS[1]} cannot see what the driver "
        "writes there; " in story.log
    )
    assert "exit code 2" in story.log


def test_the_report_that_is_fetched_is_complete(story):
    page = story.report.read_text()

    assert page.rstrip().endswith("</html>")
    assert "unet3d" in page


def test_the_dashboard_is_reached_through_ssh_alone(story):
    assert not story.listens


def test_down_leaves_no_process_on_any_host(story):
    assert story.left == set(), story.log[-6000:]
