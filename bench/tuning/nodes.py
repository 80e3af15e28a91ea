"""Asks every node of a Ray cluster whether it sees the same folder as this process, and with which versions it would work."""

import logging
import platform
import uuid
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# A worker of a busy node needs half a minute to start.
PATIENCE_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnswer:
    """What a node said: error is "" if it saw this process's marker and this process saw its; versions by package."""

    address: str
    error: str
    versions: dict[str, str]


def ask_every_node(address: str, folder: Path) -> list[NodeAnswer]:
    """Join the cluster, write a marker into folder, and let every node read it and leave its own. Nothing of it remains."""
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / f".doctor-{uuid.uuid4().hex}"
    marker.write_text("driver")
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        asked = {node["NodeID"]: ask(node["NodeID"], str(marker)) for node in nodes}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=PATIENCE_SECONDS)
        return [heard(node, asked[node["NodeID"]], marker) for node in nodes]
    finally:
        for path in folder.glob(f"{marker.name}*"):
            path.unlink()
        ray.shutdown()


def ask(node: str, marker: str) -> ray.ObjectRef:
    """Begin to ask one node, without a core of its own: it may be busy."""
    strategy = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return answer.options(num_cpus=0, scheduling_strategy=strategy).remote(marker, node)


@ray.remote
def answer(marker: str, node: str) -> tuple[str, dict[str, str]]:
    """What a node does: read the marker, write its own beside it, tell its versions."""
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in ("torch", "ray")}
    try:
        Path(marker).read_text()
        Path(f"{marker}-{node}").write_text(node)
    except OSError as error:
        return f"{type(error).__name__}: {error.strerror}", versions
    return "", versions


def heard(node: dict, asked: ray.ObjectRef, marker: Path) -> NodeAnswer:
    """A node's answer, and whether its marker came."""
    try:
        error, versions = ray.get(asked, timeout=0)
    except ray.exceptions.RayError as lost:
        return NodeAnswer(address=node["NodeManagerAddress"], error=f"no answer ({type(lost).__name__})", versions={})
    if not error and not Path(f"{marker}-{node['NodeID']}").is_file():
        error = "its marker did not arrive here"
    return NodeAnswer(address=node["NodeManagerAddress"], error=error, versions=versions)
