"""Asks nodes of a Ray cluster what they see of a run's storage, and with which versions they would work."""

import logging
import platform
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.tuning.sight import Sight
from trials.files import matching, place, write_text

# A worker of a busy node needs half a minute to start.
ANSWER_SECONDS = 120.0


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Be in the cluster at address. Raises what Ray does where there is none."""
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def living() -> dict[str, str]:
    """The address of every node of the cluster that this process has joined, by the node's id and in their order."""
    nodes = sorted(ray.nodes(), key=lambda node: node["NodeManagerAddress"])
    return {node["NodeID"]: node["NodeManagerAddress"] for node in nodes if node["Alive"]}


def ask(nodes: Mapping[str, str], out: Path, needed: tuple[str, ...]) -> dict[str, Sight]:
    """What each of these nodes sees, by its id: a marker in out, which lets it leave its own, and what trials read.

    It takes no core, since a node may be busy. Nothing of it remains in out.
    """
    folder = out / f".preflight-{secrets.token_hex(4)}"
    write_text(folder / "driver", "")
    try:
        asked = {node: begin(node, address, folder, needed) for node, address in nodes.items()}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
        sights = {node: heard(nodes[node], answer) for node, answer in asked.items()}
        written = {path.name for path in matching(folder, "*")}
    finally:
        remove(folder)
    return {node: replace(sight, is_seen=node in written) for node, sight in sights.items()}


def begin(node: str, address: str, folder: Path, needed: tuple[str, ...]) -> ray.ObjectRef:
    """Begin to ask one node."""
    asked = ray.remote(num_cpus=0)(look).options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
    return asked.remote(node, address, str(folder), needed)


def look(node: str, address: str, folder: str, needed: tuple[str, ...]) -> Sight:
    """Run on a node: look for the driver's marker and for what trials read, and write a marker beside the driver's."""
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in ("torch", "ray")}
    missing = tuple(name for name in needed if not place(name).exists())
    seen = Sight(address=address, missing=missing, versions=versions)
    if not (place(folder) / "driver").exists():
        return seen
    try:
        write_text(place(folder) / node, "", patience=0)
    except OSError as error:
        return replace(seen, sees_driver=True, error=str(error))
    return replace(seen, sees_driver=True)


def heard(address: str, answer: ray.ObjectRef) -> Sight:
    """A node's answer, or why there is none to use."""
    try:
        return ray.get(answer, timeout=0)
    except GetTimeoutError:
        return Sight(address=address, lost=f"no answer in {ANSWER_SECONDS:.0f} s")
    except RayTaskError as failed:
        return Sight(address=address, broken=str(failed).strip().splitlines()[-1])
    except RayError as lost:
        return Sight(address=address, lost=type(lost).__name__)


def remove(folder: Path) -> None:
    """Delete the markers and, where there are folders, theirs."""
    for path in matching(folder, "*"):
        path.unlink(missing_ok=True)
    if isinstance(folder, Path):
        folder.rmdir()
