"""clusters/slurm.sh under a real SLURM of three hosts: the time limit comes near, the job goes on
where it was, and one of the hosts is killed.
"""

import itertools
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from conftest import PAGES

from benchmarks.hosts import HEAD, WORKERS, Hosts, copy_project, three_hosts, why_not

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
REASON = why_not() or (
    f"{', '.join(MISSING)} missing: apt-get install slurmctld slurmd slurm-client munge"
    if MISSING
    else ""
)
pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(REASON), reason=REASON)]
# Names and addresses, since nothing resolves names here. Each host has a /run of its own. A job
# that is queued again waits for cred_expire seconds, and for the scheduler. A silent node is down
# after SlurmdTimeout. With config_overrides a host need not be as large as the script asks for.
SLURM = f"""
ClusterName=hosts
SlurmctldHost=nshost1({HEAD})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=/run/munge/socket,cred_expire=5
StateSaveLocation=/run/slurmctld
SlurmdSpoolDir=/run/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/run/slurmctld.log
SlurmdLogFile=/run/slurmd.log
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdTimeout=6
TCPTimeout=1
MessageTimeout=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
NodeName=nshost1 NodeAddr={HEAD} CPUs=8 RealMemory=64000 Gres=gpu:1
NodeName=nshost2 NodeAddr={WORKERS[0]} CPUs=8 RealMemory=64000 Gres=gpu:1
NodeName=nshost3 NodeAddr={WORKERS[1]} CPUs=8 RealMemory=64000 Gres=gpu:1
PartitionName=all Nodes=ALL Default=YES
"""
# Not a GPU: what SLURM and Ray count is what it is for.
GRES = "NodeName=nshost[1-3] Name=gpu File=/dev/zero\n"
# No daemon waits for a name server that does not answer.
MUNGED = (
    "mount --bind {shared}/nsswitch.conf /etc/nsswitch.conf && mkdir -p /run/munge /run/slurmctld"
    " && munged --force --key-file={shared}/munge.key --socket=/run/munge/socket"
    " --pid-file=/run/munge/pid --seed-file=/run/munge/seed --log-file=/run/munge/log"
)
# Trials of seconds. While a file is there they wait in the middle of an epoch, so that none of them
# ends before SLURM has done its part.
GRID = """
import time
from dataclasses import replace
from pathlib import Path

from torch.nn.functional import cross_entropy

from bench.grids import DEMO, LOSSES, Entry, product


def patient(counts):
    def loss(logits, labels):
        # A loss is tried once on logits of this edge before any training.
        while logits.shape[-1] != 16 and Path("{shared}/held").exists():
            time.sleep(0.1)
        return cross_entropy(logits, labels.long())

    return loss


LOSSES["patient"] = Entry(patient, about="cross-entropy that waits")
HOSTS = replace(
    DEMO,
    name="hosts",
    generate={{"num_cases": 11, "seed": 1}},
    cells=product(("unet3d",), ("patient",), ("none",)),
    seeds=(0, 1, 2, 3),
    tuning=None,
    recipes={{
        "3d": replace(
            DEMO.recipes["3d"], epochs=4, steps_per_epoch=2, validate_every=2, gpu_share=1
        )
    }},
)
"""
NUM_TRIALS = 4
# What runs on a host without a job.
ALWAYS = {"sshd", "munged", "slurmctld", "slurmscriptd", "slurmd", "bash", "cat"}
SUBMIT = re.search(r"^sbatch --nodes.*$", PAGES["cluster"], re.MULTILINE)
# Minutes where half a minute is usual: two busy cores must not fail it.
PATIENCE = 240


@dataclass(frozen=True)
class Story:
    """What the job left, and what was seen meanwhile. environments: of Ray on each host, in the
    first start.
    """

    log: str
    job: str
    done_at_the_limit: int
    saved_at_the_limit: int
    nodes_after_the_kill: str
    environments: list[str]
    trials: pd.DataFrame
    page: str
    left: set[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Story:
    """The page's line, once through, on hosts that end with the test."""
    with three_hosts(tmp_path_factory.mktemp("hosts")) as hosts:
        start_slurm(hosts)
        return told(hosts)


def start_slurm(hosts: Hosts) -> None:
    """munge and slurmd on every host, the controller on the first one."""
    (hosts.shared / "munge.key").write_bytes(bytes(range(128)))
    (hosts.shared / "munge.key").chmod(0o400)
    (hosts.shared / "slurm.conf").write_text(SLURM)
    (hosts.shared / "gres.conf").write_text(GRES)
    # slurmd asks for one of its cgroup plugins; with these settings it uses none of it.
    (hosts.shared / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    (hosts.shared / "nsswitch.conf").write_text("hosts: files\n")
    for number in (1, 2, 3):
        daemons = "slurmctld && slurmd" if number == 1 else "slurmd"
        on_host(hosts, number, f"{MUNGED.format(shared=hosts.shared)} && {daemons}")
    wait_for(lambda: on_host(hosts, 1, "sinfo --noheader --format %D --states idle") == "3")


def on_host(hosts: Hosts, number: int, command: str) -> str:
    """What a command prints on a host, with SLURM's settings and the project's environment."""
    settings = (
        f"export SLURM_CONF={hosts.shared}/slurm.conf PATH=~/segbench-venv/bin:$PATH "
        f"PYTHONPATH={hosts.shared}/project; unset RAY_OVERRIDE_RESOURCES"
    )
    return hosts.call("ssh", number, f"{settings}; {command}").strip()


def told(hosts: Hosts) -> Story:
    """Submit; let the limit come near once a result is there; when the job goes on, kill the last
    host while it trains; wait for the end.
    """
    job = Job.submit(hosts)
    job.wait_for(lambda: job.num_results())
    job.held.touch()
    job.wait_for(lambda: all("raylet" in hosts.processes(host) for host in (1, 2, 3)))
    environments = [environment_of_ray(hosts, host) for host in (1, 2, 3)]
    job.near_its_limit()
    job.held.unlink()
    job.wait_for(lambda: job.field("Restarts") == "1")
    done, saved = job.num_results(), len(list(job.run.glob("trials/*/checkpoint-*.pt")))
    job.held.touch()
    job.wait_for(lambda: "ray::Impl" in hosts.processes(3))
    hosts.call("kill", 3)
    job.wait_for(lambda: job.field("NumNodes") == "2")
    nodes = f"{job.field('JobState')} {job.field('NumNodes')}"
    job.held.unlink()
    job.wait_for_its_end()
    wait_for(lambda: not left(hosts))
    trials, page = job.run / "trials.parquet", job.run / "report.html"
    return Story(
        job.log.read_text(),
        on_host(hosts, 1, f"scontrol show job {job.number}"),
        done,
        saved,
        nodes,
        environments,
        pd.read_parquet(trials) if trials.exists() else pd.DataFrame({"state": []}),
        page.read_text() if page.exists() else "",
        left(hosts),
    )


@dataclass(frozen=True)
class Job:
    """A job that was submitted. Its trials wait while the file held is there."""

    hosts: Hosts
    number: str
    run: Path
    log: Path
    held: Path

    @classmethod
    def submit(cls, hosts: Hosts) -> "Job":
        """The line of the page, with the test's own storage and grid, and one core for each host:
        they share two.
        """
        shared, line = hosts.shared, SUBMIT[0]
        copy_project(shared / "project")
        (shared / "my_grid.py").write_text(GRID.format(shared=shared))
        own = {
            "/shared": str(shared),
            "--grid full": f"--grid {shared}/my_grid.py",
            "sbatch": "sbatch --cpus-per-task=1",
        }
        for printed, used in own.items():
            line = line.replace(printed, used)
        number = on_host(hosts, 1, f"cd {shared}/project && {line}").rpartition(" ")[2]
        log = shared / "project" / f"segbench-{number}.log"
        return cls(hosts, number, shared / "runs" / "full", log, shared / "held")

    def field(self, name: str) -> str:
        """A field of `scontrol show job`."""
        text = on_host(self.hosts, 1, f"scontrol show job {self.number}")
        return re.search(rf"\b{name}=(\S*)", text)[1]

    def num_results(self) -> int:
        return len(list(self.run.glob("trials/*/result.json")))

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Return when condition holds, the job has ended, or patience ends."""
        going, looks = ("PENDING", "RUNNING", "COMPLETING"), itertools.count(1)
        # Every eighth time: it takes a login on a host, and all share two cores.
        wait_for(
            lambda: condition() or (next(looks) % 8 == 0 and self.field("JobState") not in going)
        )

    def wait_for_its_end(self) -> None:
        self.wait_for(lambda: False)

    def near_its_limit(self) -> None:
        """Let it have about a minute more, until SLURM's signal has arrived: it comes two minutes
        before the limit, and SLURM looks every 30 seconds.
        """
        hours, minutes, seconds = map(int, self.field("RunTime").split(":"))
        self.limit(-(-(3600 * hours + 60 * minutes + seconds + 45) // 60))
        self.wait_for(lambda: "stopping" in self.log.read_text())
        self.limit(60)

    def limit(self, minutes: int) -> None:
        on_host(self.hosts, 1, f"scontrol update JobId={self.number} TimeLimit={minutes}")


def environment_of_ray(hosts: Hosts, host: int) -> str:
    """The environment of Ray's process on a host, a variable a line."""
    return on_host(hosts, host, "tr '\\0' '\\n' < /proc/$(pgrep --exact raylet)/environ")


def left(hosts: Hosts) -> set[str]:
    """Processes and files of a job that are still on the hosts that live."""
    found = "cat /proc/[0-9]*/comm; ls -d /tmp/segbench-job-* 2> /dev/null"
    return {
        line for host in (1, 2) for line in on_host(hosts, host, f"{found} || true").splitlines()
    } - ALWAYS


def wait_for(condition: Callable[[], object]) -> None:
    """Return when condition holds, or when patience ends: what follows asserts it."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.5)


def test_a_job_at_its_time_limit_is_queued_again_and_ends_with_every_trial(story):
    assert "JobState=COMPLETED" in story.job, story.log[-6000:]
    assert re.search(r"\bRestarts=1\b.*\bExitCode=0:0\b", story.job.replace("\n", " "))
    assert 1 <= story.done_at_the_limit < NUM_TRIALS
    assert story.saved_at_the_limit >= 1
    assert story.trials.state.tolist() == ["COMPLETE"] * NUM_TRIALS


def test_f68_a_node_that_fails_leaves_the_job_which_runs_on(story):
    assert story.nodes_after_the_kill == "RUNNING 2"


def test_the_report_is_complete(story):
    assert story.page.rstrip().endswith("</html>")
    assert "unet3d" in story.page


def test_ray_has_a_token_and_the_gpus_of_the_job_on_every_node(story):
    tokens = set()
    for text in story.environments:
        variables = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        tokens.add(variables["RAY_AUTH_TOKEN"])
        assert variables["RAY_AUTH_MODE"] == "token"
        assert variables["CUDA_VISIBLE_DEVICES"] == "0"
    assert len(tokens) == 1
    assert not any(token in story.log for token in tokens)


def test_nothing_of_the_job_is_left(story):
    assert story.left == set()
