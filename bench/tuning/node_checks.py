"""Asks nodes of a Ray cluster what they see of a run's storage, and with which versions they would
work.
"""

import logging
import os
import platform
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.job_config import JobConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.grid.user_file import helper_folders
from bench.tuning.node_report import NodeReport
from bench.tuning.ray_folder import ray_folder
from bench.tuning.ray_private import bind_to_loopback, keep_quiet
from trials.identity.code_identity import OWN, own_code
from trials.process.workers import num_cores
from trials.storage.atomic import UNFINISHED, delete, find_files, to_path, write_text
from trials.storage.probe import check_scratch

WAY_IN = (
    "`ray up FILE` starts one; it needs this machine's Ray and Python, and "
    "RAY_AUTH_MODE=token where it asks for a token"
)
CALL_SECONDS = 10.0
# A worker of a busy node needs half a minute to start.
ANSWER_SECONDS = 120.0


def start_alone() -> None:
    """Start Ray on the cores that this process may use, on 127.0.0.1 alone, as it does by itself on
    macOS and Windows. RAY_ADDRESS is not followed: a run joins a cluster by --address alone.

    Raises ValueError where it does not come up, as on a machine that is busy with much else: Ray
    waits half a minute.
    """
    bind_to_loopback()
    forgive_warnings()
    folder = ray_folder()
    try:
        with our_packages_first() as job_config:
            ray.init(
                address="local",
                _temp_dir=folder,
                num_cpus=num_cores(),
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
                job_config=job_config,
            )
        keep_quiet()
    except Exception as wrong:  # Ray raises the bare class where its own processes are too slow
        told = " ".join(str(wrong).split())[:300]
        raise ValueError(
            f"Ray did not start on this machine: {told}; try again when it has less to do"
        ) from wrong


def forgive_warnings() -> None:
    """Drop a PYTHONWARNINGS that makes errors of warnings: Ray's own processes would inherit it and
    end at their first deprecation. This process keeps what it was started with.
    """
    if "error" in os.environ.get("PYTHONWARNINGS", ""):
        del os.environ["PYTHONWARNINGS"]


def join(address: str) -> None:
    """Let this process drive the cluster at address: HOST:PORT, or auto. Raises ValueError in one
    sentence where it cannot.
    """
    if "://" not in address and address != "auto":
        refuse_silence(address)
    try:
        with our_packages_first() as job_config:
            ray.init(
                address=address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                job_config=job_config,
            )
        keep_quiet()
    except (RayError, ConnectionError, RuntimeError, ValueError) as wrong:
        told = " ".join(str(wrong).split())[:300]
        raise ValueError(f"the cluster at {address} cannot be used: {told}; {WAY_IN}") from None


@contextmanager
def our_packages_first() -> Iterator[JobConfig]:
    """What Ray is started in and with, so that workers import our packages and not a bench.py,
    trials.py or reports.py of the user's folder.

    Ray puts the folder in which it is started first on its workers' path. The user's own folder and
    that of the grid file come after ours, for modules that a grid file imports.
    """
    own_folder = os.getcwd()
    with chdir(Path(__file__).parents[2]):
        yield JobConfig(_py_driver_sys_path=[own_folder, *helper_folders()])


def refuse_silence(address: str) -> None:
    """Raise ValueError where nobody listens: Ray itself would go on trying for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CALL_SECONDS).close()
    except (OSError, ValueError) as wrong:
        raise ValueError(f"no Ray answers at {address} ({wrong}); {WAY_IN}") from None


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Be in the cluster at address, see join()."""
    join(address)
    try:
        yield
    finally:
        ray.shutdown()


def living() -> dict[str, str]:
    """The address of every node of the cluster that this process has joined, by the node's id and
    in their order.
    """
    nodes = sorted(ray.nodes(), key=lambda node: node["NodeManagerAddress"])
    return {node["NodeID"]: node["NodeManagerAddress"] for node in nodes if node["Alive"]}


def ask(nodes: Mapping[str, str], out: Path, needed: tuple[str, ...]) -> dict[str, NodeReport]:
    """What each of these nodes sees, by its id: a marker in out, which lets it leave its own, and
    what trials read.

    It takes no core, since a node may be busy. Nothing of it remains in out.
    """
    folder = out / f".preflight-{secrets.token_hex(4)}{UNFINISHED}"
    write_text(folder / "driver", "")
    try:
        asked = {node: begin(node, address, folder, needed) for node, address in nodes.items()}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
        sights = {node: heard(nodes[node], answer) for node, answer in asked.items()}
        written = {path.name for path in find_files(folder, "*")}
    finally:
        remove(folder)
    return {node: replace(sight, is_seen=node in written) for node, sight in sights.items()}


def begin(
    node: str, address: str, folder: Path, needed: tuple[str, ...]
) -> "ray.ObjectRef[NodeReport]":
    """Begin to ask one node."""
    asked = ray.remote(num_cpus=0)(look).options(
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
    )
    return asked.remote(node, address, str(folder), needed)


def look(node: str, address: str, folder: str, needed: tuple[str, ...]) -> NodeReport:
    """Run on a node: look for the driver's marker and for what trials read, and write a marker
    beside the driver's.
    """
    versions = {"python": platform.python_version()} | {
        name: metadata.version(name) for name in ("torch", "ray")
    }
    versions[OWN] = own_code()
    missing = tuple(name for name in needed if not to_path(name).exists())
    seen = NodeReport(address=address, missing=missing, versions=versions)
    if not (to_path(folder) / "driver").exists():
        return seen
    seen = replace(seen, sees_driver=True)
    try:
        write_text(to_path(folder) / node, "", patience=0)
    except OSError as error:
        return replace(seen, error=str(error))
    try:
        check_scratch()
    except ValueError as error:
        return replace(seen, no_scratch=str(error))
    return seen


def heard(address: str, answer: "ray.ObjectRef[NodeReport]") -> NodeReport:
    """A node's answer, or why there is none to use."""
    try:
        return ray.get(answer, timeout=0)
    except GetTimeoutError:
        return NodeReport(address=address, lost=f"no answer in {ANSWER_SECONDS:.0f} s")
    except RayTaskError as failed:
        return NodeReport(address=address, broken=str(failed).strip().splitlines()[-1])
    except RayError as lost:
        return NodeReport(address=address, lost=type(lost).__name__)


def remove(folder: Path) -> None:
    """Delete the markers and, where there are folders, theirs."""
    for path in find_files(folder, "*"):
        delete(path)
    if isinstance(folder, Path):
        folder.rmdir()
