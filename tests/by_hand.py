"""A grid as a plain loop over its trials in this process, without Ray."""

from argparse import Namespace
from io import StringIO
from pathlib import Path

from rich.console import Console

from bench.execution.ceilings import write_ceilings
from bench.execution.ready import DataPlaces, Places, job_maker, make_ready
from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import before_data, resolve
from bench.grid.user_file import load_grid
from bench.run_folder.provenance import data_record, run_record, write_provenance
from trials.training.attempt import attempt


def run_by_hand(place: Path, out: Path, data: Path | None = None) -> str:
    """Run every trial of place/grid.py into a run folder; what a run prints before its first
    trial.
    """
    grid, text = load_grid(str(place / "grid.py"))
    printed, cache = StringIO(), place / "cache"
    places = DataPlaces(data=data, made=place / "data", cache=cache)
    ready = make_ready(resolve(grid, before_data(grid)), {}, places, Console(file=printed))
    write_provenance(out, run_record(ready.resolved, data_record(ready.prepared)), text)
    options = Namespace(save_predictions=False, checkpoint_minutes=1.0)
    make_job = job_maker(Places(out=out, cache=cache, data=data), ready, options, "")
    queue = TrialQueue(ready.resolved, {})
    while (due := queue.next(())) is not None:
        queue.add(attempt(make_job(due)))
    write_ceilings(out, ready.prepared)
    return printed.getvalue()
