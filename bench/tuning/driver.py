"""Runs an queue to its end on Ray: resources, retries, all cells at once. Nothing that Ray
remembers is needed again.
"""

import json
import os
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")

import ray
from ray import tune
from ray.tune import FailureConfig, PlacementGroupFactory, RunConfig, TuneConfig, Tuner

from bench.execution.signals import Stopping
from bench.grids import Grid
from bench.tuning.node_checks import join, start_alone
from bench.tuning.ray_private import kuberay_file
from bench.tuning.searcher import GridSearcher
from bench.tuning.worker import raise_flag, run_cell_trial

RETRIES_OF_LOST_WORKERS = 2
# On a cluster machines are taken back by their owner, which says nothing about the trial.
RETRIES_OF_LOST_MACHINES = 20
# What `ray up` leaves on the head: the cluster file with the resources of each node type filled in,
# as JSON.
CLUSTER_FILE = "~/ray_bootstrap_config.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a run may use: CPU cores and GPUs, over all nodes. is_shared: more machines
    than this one.

    most is the number of GPUs of the largest machine.
    """

    cpus: int
    gpus: float
    is_shared: bool = False
    most: float = field(default=0.0, compare=False)

    def slots(self, smallest_share: float) -> int:
        """How many trials fit side by side: one a core, or by their share of a GPU."""
        if not self.gpus or not smallest_share:
            return max(1, self.cpus)
        # A trial lies on one GPU: of those that take 0.6 of one, two GPUs hold two.
        return max(1, min(self.cpus, int(self.gpus) * int(1 / smallest_share + 1e-9)))

    def cores_per_trial(self, smallest_share: float) -> int:
        """How many cores each of so many trials has: one without GPUs, more on a machine with many
        cores for each GPU.
        """
        return max(1, self.cpus // self.slots(smallest_share))


def smallest_share(grid: Grid) -> float:
    """The least part of a GPU that a trial of the grid takes."""
    return min(recipe.gpu_share for recipe in grid.recipes.values())


def connect(address: str | None) -> Cluster:
    """Join the cluster at address, or start Ray on this machine alone, reachable from nowhere else.

    A cluster counts with the nodes that it may still start, so that a grid begins with no worker
    there and asks for all. Where this process has joined before, as to time what a budget buys, it
    stays. Raises ValueError in one sentence where there is no Ray to be had.
    """
    if not ray.is_initialized():
        join(address) if address else start_alone()
    found = ray.cluster_resources()
    there = Cluster(
        cpus=int(found.get("CPU", 1)), gpus=found.get("GPU", 0.0), is_shared=address is not None
    )
    nodes = [node for node in ray.nodes() if node["Alive"]]
    config = {} if address is None else cluster_file()
    if address is not None and (machines := num_machines(config)):
        full = all_joined(machines, there, len(nodes))
    else:
        full = full_size(config) if config else there
    return replace(
        there,
        cpus=max(there.cpus, full.cpus),
        gpus=max(there.gpus, full.gpus),
        most=most_gpus(nodes, config),
    )


def cluster_file() -> Mapping[str, Any]:
    """What Ray's autoscaler may start: the cluster file that `ray up` left on this machine, or what
    KubeRay was told; {} where there is neither.
    """
    path = Path(os.path.expanduser(CLUSTER_FILE))
    return json.loads(path.read_text()) if path.is_file() else kuberay_file()


def num_machines(config: Mapping[str, Any]) -> int:
    """How many machines a cluster has once all have joined: the nodes of this SLURM job, or those
    that a cluster file lists; 0 for a cluster that the autoscaler changes.
    """
    if nodes := os.environ.get("SLURM_JOB_NUM_NODES"):
        return int(nodes)
    if config.get("provider", {}).get("type") != "local":
        return 0
    return 1 + len(config["provider"]["worker_ips"])


def full_size(config: Mapping[str, Any]) -> Cluster:
    """What a cluster file lets the autoscaler start at most: every worker type at its own limit,
    all within the file's.
    """
    room, cpus, gpus = config.get("max_workers", 0), 0, 0.0
    for name, kind in config["available_node_types"].items():
        is_head = name == config.get("head_node_type")
        nodes = 1 if is_head else min(kind.get("max_workers", 0), room)
        room -= 0 if is_head else nodes
        cpus += int(nodes * kind.get("resources", {}).get("CPU", 0))
        gpus += nodes * kind.get("resources", {}).get("GPU", 0)
    return Cluster(cpus=cpus, gpus=float(gpus))


def most_gpus(nodes: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> float:
    """The GPUs of the largest machine, of those that are there (ray.nodes()) and those that a
    cluster file may still start.
    """
    kinds = config.get("available_node_types", {}).values()
    to_come = [kind.get("resources", {}).get("GPU", 0.0) for kind in kinds]
    return max([node["Resources"].get("GPU", 0.0) for node in nodes] + to_come, default=0.0)


def check_room(grid: Grid, most: float) -> None:
    """Refuse a trial that no machine can hold, which would wait for ever. Raises ValueError.

    most is the number of GPUs of the largest machine. A recipe's one GPU, or share of one, means
    a GPU where there is one: with none at all such trials run on processors, so that a laptop runs
    any grid. Whoever asks for more than one needs them, and is refused.
    """
    for name, recipe in grid.recipes.items():
        if recipe.gpu_share > (most or 1):
            raise ValueError(
                f"grid {grid.name!r}: recipes[{name!r}].gpu_share: asked {recipe.gpu_share:g} GPUs "
                "a trial, "
                "the largest "
                f"machine has {most:g}; lower it, or add a larger machine"
            )


def all_joined(machines: int, there: Cluster, num_nodes: int) -> Cluster:
    """What so many machines offer once all have joined: those that lack yet are taken to be like
    the num_nodes there.
    """
    machines = max(machines, num_nodes)
    return Cluster(
        cpus=there.cpus * machines // num_nodes,
        gpus=there.gpus * machines / num_nodes,
        is_shared=True,
    )


class Overdue(Exception):
    """Ends the run: trials that were asked to stop did not within their time of grace."""


class StopWatch(tune.Callback):
    """Passes a user's wish to stop on to the searcher and the running trials."""

    def __init__(self, stopping: Stopping, searcher: GridSearcher, run: str):
        self.stopping, self.searcher, self.run = stopping, searcher, run

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ray takes a step: see whether a signal came."""
        if self.stopping.code and not self.searcher.is_stopping:
            self.searcher.is_stopping = True
            raise_flag(self.run)
        if self.stopping.is_overdue():
            raise Overdue


def drive(
    searcher: GridSearcher,
    cluster: Cluster,
    grid_file: str,
    stopping: Stopping,
    callbacks: Sequence[tune.Callback],
) -> None:
    """Run every trial that is due until the queue is finished, or until the user asks to stop;
    callbacks are told of each.

    Trials that fail leave a result and the others go on; a lost worker is tried again and continues
    from its checkpoint. Raises ValueError naming the trials whose files found no place.
    """
    run = uuid.uuid4().hex
    stopping.gently()
    on_cpu = not cluster.gpus
    with tempfile.TemporaryDirectory(prefix="segbench-ray-") as storage:
        tuner = Tuner(
            tune.with_resources(run_cell_trial, lambda config: resources(config, on_cpu)),
            param_space={"grid_file": grid_file, "run": run},
            tune_config=TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=cluster.slots(smallest_share(searcher.queue.grid)),
                # A process costs seconds of imports and a GPU's context; what a trial left in it is
                # given back by the next.
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=RunConfig(
                name="grid",
                storage_path=storage,
                failure_config=FailureConfig(
                    max_failures=RETRIES_OF_LOST_MACHINES
                    if cluster.is_shared
                    else RETRIES_OF_LOST_WORKERS
                ),
                callbacks=[*callbacks, StopWatch(stopping, searcher, run)],
                verbose=0,
            ),
        )
        with suppress(Overdue):
            tuner.fit()
    stopping.at_once()
    if searcher.hindered and not stopping.code:
        raise ValueError(hindrances(searcher.hindered))


def hindrances(hindered: Mapping[str, str]) -> str:
    """Which trials have no result although they did not fail, the first with its reason, and how
    to fix it.
    """
    trial, reason = next(iter(hindered.items()))
    others = f" (and {len(hindered) - 1} more)" if len(hindered) > 1 else ""
    return (
        f"trial {trial}{others} has no result: {reason}. Nothing finished is lost: fix that and "
        "give the same "
        "command, which brings what waits on its node and runs the rest"
    )


def resources(config: Mapping[str, Any], on_cpu: bool) -> PlacementGroupFactory:
    """One core, and the share of a GPU that the trial's recipe names unless trials run on
    processors.
    """
    return PlacementGroupFactory([{"CPU": 1} if on_cpu else {"CPU": 1, "GPU": config["gpu_share"]}])
