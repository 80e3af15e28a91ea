"""Before a node trains: does it see what the driver writes, and the data? Storage that is not shared ends the run."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.tune import Callback
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trials.files import matching, place, write_text

ANSWER_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a node sees. error says why it could not write its marker, "" where it could; missing names what it does not see."""

    node: str
    sees_driver: bool
    error: str = ""
    missing: tuple[str, ...] = ()


class Preflight(Callback):
    """Checks every node of a cluster once: those that are there at the start, and each newcomer with its first trial.

    needed names the files and folders that trials read. Raises ValueError in one sentence that names the nodes.
    """

    def __init__(self, out: Path, needed: Sequence[str]):
        self.out, self.needed = out, tuple(needed)
        self.known: set[str] = set()

    def __getstate__(self) -> dict:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A trial got its place, perhaps on a node that was not there before."""
        self.check()

    def check(self) -> None:
        """Let every node that has not been looked at write a marker and look for the driver's and for the data."""
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        fresh = nodes.keys() - self.known
        if len(nodes) < 2 or not fresh:
            return
        folder = self.out / f".preflight-{secrets.token_hex(4)}"
        write_text(folder / "driver", "")
        try:
            sights = ask(fresh, str(folder), self.needed)
            written = {path.name for path in matching(folder, "*")}
        finally:
            remove(folder)
        if text := complaint(self.out, [(nodes[sight.node], sight, sight.node in written) for sight in sights]):
            raise ValueError(text)
        self.known |= {sight.node for sight in sights}


def ask(nodes: Collection[str], folder: str, needed: tuple[str, ...]) -> list[Sight]:
    """What each node sees; one that goes away meanwhile does not answer."""
    look = ray.remote(num_cpus=0)(sight)
    tasks = [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(node, folder, needed)
        for node in sorted(nodes)
    ]
    sights = []
    for task in ray.wait(tasks, num_returns=len(tasks), timeout=ANSWER_SECONDS)[0]:
        try:
            sights.append(ray.get(task))
        except RayError:
            continue
    return sights


def sight(node: str, folder: str, needed: tuple[str, ...]) -> Sight:
    """Run on a node: look for the driver's marker and for what trials read, and write a marker beside the driver's."""
    missing = tuple(name for name in needed if not place(name).exists())
    if not (place(folder) / "driver").exists():
        return Sight(node=node, sees_driver=False, missing=missing)
    try:
        write_text(place(folder) / node, "", patience=0)
    except OSError as error:
        return Sight(node=node, sees_driver=True, error=str(error), missing=missing)
    return Sight(node=node, sees_driver=True, missing=missing)


def complaint(out: Path, sights: Sequence[tuple[str, Sight, bool]]) -> str:
    """One sentence on (address, what the node sees, whether the driver sees its marker) of each node; "" where all is well."""
    apart = [address for address, sight, _ in sights if not sight.sees_driver]
    if apart:
        return (
            f"{out} is not shared: {', '.join(apart)} cannot see what the driver writes there; give --out on storage that "
            "every node mounts at the same path, or a URL such as s3://bucket/run"
        )
    if failed := [f"{address} ({sight.error})" for address, sight, _ in sights if sight.error]:
        return f"{out} cannot be written from {', '.join(failed)}; give every node the right to write there"
    if unseen := [address for address, _, is_seen in sights if not is_seen]:
        return f"{out} is not shared: the driver cannot see what {', '.join(unseen)} wrote there; give --out on shared storage"
    missing = {
        name: [address for address, sight, _ in sights if name in sight.missing] for _, s, _ in sights for name in s.missing
    }
    if missing:
        name, addresses = next(iter(missing.items()))
        return f"{', '.join(addresses)} cannot see {name}; put it on storage that every node mounts at the same path"
    return ""


def remove(folder: Path) -> None:
    """Delete the markers and, where there are folders, theirs."""
    for path in matching(folder, "*"):
        path.unlink(missing_ok=True)
    if isinstance(folder, Path):
        folder.rmdir()
