"""One run on Ray, from the data to the last trial: prepared, checked against what its folder holds,
trained, and the attainable scores measured.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune import Callback
from rich.console import Console

from bench.execution.ceilings import write_ceilings
from bench.execution.ready import DataPlaces, Places, ReadyGrid, job_maker, make_ready
from bench.execution.signals import Stopping
from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import ResolvedGrid
from bench.run_folder.changed_code import delete_trials
from bench.run_folder.continuing import resume_queue
from bench.run_folder.lock import hold_lock
from bench.run_folder.provenance import commit, data_record, run_record, write_provenance
from bench.run_folder.reuse import Reuse, open_run
from bench.run_folder.status import send_heartbeats
from bench.tuning.driver import Cluster, check_room, connect, drive, smallest_share
from bench.tuning.live_view import LiveView
from bench.tuning.node_checks import ask, living
from bench.tuning.node_report import complaint
from bench.tuning.searcher import GridSearcher
from bench.tuning.trackers import TRACKERS
from bench.tuning.tracking import Feed, Tracking
from trials.records.targets import target_names
from trials.storage.atomic import remove_abandoned
from trials.storage.probe import check_run_folder, check_scratch, local_parent

if TYPE_CHECKING:
    from bench.plan.budget import Bought


class Preflight(Callback):
    """Checks every node of a cluster once: those that are there at the start, and each newcomer
    with its first trial.

    needed names the files and folders that trials read. Raises ValueError in one sentence that
    names the nodes.
    """

    def __init__(self, out: Path, needed: Sequence[str]):
        self.out, self.needed = out, tuple(needed)
        self.known: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got its place, perhaps on a node that was not there before."""
        self.check()

    def check(self) -> None:
        """Ask every node that has not answered yet; one that goes away meanwhile is asked again if
        it comes back.
        """
        nodes = living()
        fresh = {node: address for node, address in nodes.items() if node not in self.known}
        if len(nodes) < 2 or not fresh:
            return
        sights = ask(fresh, self.out, self.needed)
        wrong, fix = complaint(self.out, list(sights.values()))
        if wrong:
            raise ValueError(f"{wrong}; {fix}")
        self.known |= {node for node, sight in sights.items() if not sight.lost}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for: a checked grid, resolved before its data are open, and its file's text;
    first weights by model; where the run lies; and the flags. buy says what a budget buys of the
    grid (bench/plan/plan.py), None for the whole grid.
    """

    declared: ResolvedGrid
    grid_text: str
    given: Mapping[str, Path]
    places: Places
    options: argparse.Namespace
    buy: "Callable[..., Bought] | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A grid that is ready to run, cut to its budget, and the budget's entry of run.json."""

    ready: ReadyGrid
    budget: dict[str, Any]


def prepare(asked: Request) -> Start:
    """Prepare the data of a grid, and cut the grid to its budget."""
    console = Console(stderr=True, markup=False, emoji=False)
    ready = make_ready(asked.declared, asked.given, data_places(asked), console)
    if asked.buy is None:
        return Start(ready=ready, budget={})
    bought = asked.buy(ready, asked.options, asked.grid_text, console, asked.places.out)
    less = replace(ready.resolved, grid=bought.grid(ready.resolved.grid))
    return Start(ready=replace(ready, resolved=less), budget={"budget": asdict(bought)})


def execute(asked: Request, stopping: Stopping) -> bool:
    """Prepare, then run every trial that has no result yet. Returns False if the user asked to stop
    before the end.
    """
    out, console = asked.places.out, Console(stderr=True, markup=False, emoji=False)
    check_run_folder(out)
    check_scratch()
    start = prepare(asked)
    ready = start.ready
    with hold_lock(out) as lock:
        remove_abandoned(out)
        record = run_record(ready.resolved, data_record(ready.prepared)) | start.budget
        reruns = asked.options.rerun_changed
        queue, changed = resume_queue(out, ready.resolved, record, asked.grid_text, reruns)
        reuse = open_reuse(asked, record, queue)
        preflight = Preflight(out, ready.needed())
        cluster = None if queue.finished() else checked_cluster(asked, preflight)
        # From here on nothing is refused any more.
        delete_trials(out, changed)
        write_provenance(out, record | {"reused": reuse.record()}, asked.grid_text)
        if reuse.runs:
            console.print(reuse.text(queue), highlight=False, soft_wrap=True)
            reuse.copy()
        if cluster:
            view = LiveView(queue, console, cluster.slots(smallest_share(queue.grid)))
            searcher = make_searcher(asked, ready, queue, cluster, reuse)
            tracking = make_tracking(asked, ready, console)
            with view, tracking, send_heartbeats(lock, view.status, view.changed):
                callbacks = (preflight, view, tracking)
                drive(searcher, cluster, asked.grid_text, stopping, callbacks)
            if reuse.runs:  # some trials were due only after others had run
                write_provenance(out, record | {"reused": reuse.record()}, asked.grid_text)
        if queue.finished():
            write_ceilings(out, ready.prepared)
    return queue.finished()


def open_reuse(asked: Request, record: Mapping[str, Any], queue: TrialQueue) -> Reuse:
    """What --reuse takes over from other runs; the queue has it already. Writes nothing."""
    out = asked.places.out
    reuse = Reuse(out, [open_run(run, out, record["data"]) for run in asked.options.reuse])
    reuse.add_to(queue)
    return reuse


def data_places(asked: Request) -> DataPlaces:
    """Where the run's data come from and go."""
    places = asked.places
    return DataPlaces(
        data=places.data,
        made=local_parent(places.out) / "data",
        cache=places.cache,
        skip_bad=asked.options.skip_bad,
    )


def checked_cluster(asked: Request, preflight: Preflight) -> Cluster:
    """The cluster that was asked for. Raises ValueError where it has no room for the grid's trials,
    or a node does not see what they read.
    """
    cluster = connect(asked.options.address)
    check_room(asked.declared.grid, cluster.most)
    preflight.check()
    return cluster


def make_searcher(
    asked: Request, ready: ReadyGrid, queue: TrialQueue, cluster: Cluster, reuse: Reuse
) -> GridSearcher:
    """The searcher of a run: what its queue says is due, as jobs."""
    cores = cluster.cores_per_trial(smallest_share(queue.grid))
    make_job = job_maker(asked.places, ready, asked.options, commit()[0], cores)
    return GridSearcher(queue, make_job, asked.places.out, reuse.take)


def make_tracking(asked: Request, ready: ReadyGrid, console: Console) -> Tracking:
    """The trackers that --track names, each in a thread of its own."""
    out = asked.places.out

    def tell(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False)

    feeds = [
        Feed(name, partial(TRACKERS[name][0], out), tell)
        for name in dict.fromkeys(asked.options.track)
    ]
    names = target_names(
        next(iter(ready.prepared.values())).dataset.classes, ready.resolved.regions
    )
    return Tracking(feeds, out, ready.resolved.grid.name, names)
