"""Three hosts on one machine and the project's on-premises cluster on them, for the test of `ray
up` and for lost_hosts.
"""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("ip", "unshare", "ssh", "ssh-keygen", "rsync")
HEAD, WORKERS = "10.77.0.11", ("10.77.0.12", "10.77.0.13")
# Every host sees all cores of this machine: one trial each is enough. A lost host is noticed in
# about 15 seconds, not in 65.
BASHRC = """
export PYTHONPATH=$HOME/segbench RAY_OVERRIDE_RESOURCES='{"CPU":1}'
export RAY_health_check_period_ms=2000 RAY_health_check_timeout_ms=4000
export RAY_health_check_failure_threshold=3
"""
# 11 phantoms at 32^3, 2 cells under 3 seeds; trials long enough that every host has begun one
# before two hosts have done all.
GRID = """
from dataclasses import replace
from bench.grids import DEMO, product

HOSTS = replace(
    DEMO,
    name="hosts",
    generate={"num_cases": 11, "seed": 1},
    cells=product(("unet3d",), ("combined", "focal"), ("none",)),
    seeds=(0, 1, 2),
    tuning=None,
    recipes={"3d": replace(DEMO.recipes["3d"], epochs=10, steps_per_epoch=4, validate_every=5)},
)
"""
NUM_TRIALS = 6


def why_not() -> str:
    """What this machine lacks for hosts of network namespaces; "" where it lacks nothing."""
    if not os.environ.get("SEGBENCH_FIXTURES"):
        return "SEGBENCH_FIXTURES names no folder with tools/netns_hosts.sh"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in NEEDED if shutil.which(name) is None] + [
        path for path in ("/usr/sbin/sshd",) if not Path(path).exists()
    ]
    if missing:
        return (
            f"{', '.join(missing)} missing: apt-get install iproute2 openssh-server "
            "openssh-client rsync"
        )
    probe = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True
    )
    return f"this machine permits no namespaces: {probe.stderr.strip()}" if probe.returncode else ""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Hosts that netns_hosts.sh makes under folder; shared is the storage that all of them see."""

    folder: Path
    shared: Path

    def up(self, count: int) -> None:
        """Start them, each with this interpreter's environment where the cluster file looks for
        one.
        """
        self.shared.mkdir(parents=True)
        (self.folder / "home").mkdir(parents=True)
        self.call("up", count, self.shared, *dict.fromkeys((sys.prefix, sys.base_prefix)))
        for number in range(1, count + 1):
            home = self.folder / f"host{number}" / "root"
            (home / ".bashrc").write_text(BASHRC)
            (home / "segbench-venv").symlink_to(sys.prefix)

    def call(self, verb: str, *arguments: object) -> str:
        """netns_hosts.sh VERB; raises CalledProcessError."""
        script = Path(os.environ["SEGBENCH_FIXTURES"]) / "tools" / "netns_hosts.sh"
        command = ["bash", str(script), verb, str(self.folder), *map(str, arguments)]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ).stdout

    def processes(self, number: int) -> set[str]:
        """What runs on a host of Ray's or ours, by name; ray::Impl trains, follow_head starts once
        Ray has joined.
        """
        lines = self.call("ssh", number, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        own = (
            "raylet",
            "gcs_server",
            "ray::Impl",
            "ray::",
            "log_monitor",
            "dashboard",
            "bench.run",
            "follow_head",
        )
        return {word for word in own if word in lines}


@contextmanager
def three_hosts(folder: Path) -> Iterator[Hosts]:
    """Three hosts that end with the block. Their names and addresses are the machine's: a second
    caller waits for the first.
    """
    hosts = Hosts(folder, folder / "shared")
    with open("/tmp/segbench-hosts.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            hosts.up(3)
            yield hosts
        finally:
            hosts.call("down")


def copy_project(folder: Path) -> None:
    """Copy the project as git sees it."""
    filtered = ["rsync", "-a", "--filter=dir-merge,- .gitignore", f"{ROOT}/", f"{folder}/"]
    subprocess.run(filtered, check=True)


@dataclass(frozen=True, slots=True)
class OnPremises:
    """clusters/onprem.yaml with its values changed for hosts, and the commands of a user who sits
    at another machine.
    """

    hosts: Hosts
    project: Path
    port: int

    @classmethod
    def on(cls, hosts: Hosts) -> "OnPremises":
        """Copy the project beside the hosts and change the values at the top of its cluster
        file.
        """
        project = hosts.folder / "project"
        copy_project(project)
        file = project / "clusters" / "onprem.yaml"
        file.write_text(changed(file.read_text(), hosts))
        (project / "my_grid.py").write_text(GRID)
        shutil.copy(project / "my_grid.py", hosts.shared)
        with socket.create_server(("127.0.0.1", 0)) as free:
            return cls(hosts, project, free.getsockname()[1])

    def environment(self) -> dict[str, str]:
        """A user's environment: a home of its own, this interpreter's `ray`, nothing that moves
        Ray's files.
        """
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RAY_", "PYTHONPATH"))
        }
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return own | {
            "HOME": str(self.hosts.folder / "home"),
            "PATH": path,
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def start(self, line: str, log: IO[str]) -> subprocess.Popen:
        """Begin a command line in the project's folder, with its output in a file."""
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.project,
            env=self.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def changed(text: str, hosts: Hosts) -> str:
    """A cluster file with its values changed for the hosts, and without the installation, for which
    there is no network.
    """
    config = yaml.safe_load(text.replace("/shared", str(hosts.shared)))
    config["cluster_name"] = f"segbench-{os.getpid()}"
    config["provider"] |= {"head_ip": HEAD, "worker_ips": list(WORKERS)}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(hosts.folder / "keys" / "id")}
    config["setup_commands"] = [
        command for command in config["setup_commands"] if "pip install" not in command
    ]
    return json.dumps(config, indent=1)
