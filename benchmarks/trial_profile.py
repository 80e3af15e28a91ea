"""Where the processor time of a trial goes, by function: a final trial of each of the demo's
models, all else as in the demo.

`python -m benchmarks.trial_profile` trains each here on one thread: two epochs of it and the scores
on validation under torch's profiler, for its operators, and the whole of it under Python's, for all
that is done between them. What has two hundredths of the time or more is listed.
"""

import cProfile
import pstats
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from bench.execution.jobs import Places, job_maker
from bench.execution.trial_queue import Due, TrialQueue
from bench.grids import Grid
from benchmarks.compare import keep
from benchmarks.plan_accuracy import Ready, made_ready
from trials.records.job import Job
from trials.records.spec import PRETRAIN
from trials.training.attempt import attempt

LEAST, EPOCHS = 0.02, 2
NOTES = (
    "convolution_backward, mkldnn_convolution, _convolution: convolutions. native_batch_norm, "
    "native_group_norm and their",
    "backward: the models' norms, instance norms among them. _prelu_kernel: V-Net's activations; "
    "threshold_backward: those of",
    "the others. copy_: casts, and changes of layout; in the 3D U-Net mostly those of its instance "
    "norms, which torch does in",
    "another layout than the one convolutions are fastest in. uniform_: first weights of the "
    "ResNet, which weigh",
    "less in the whole of a trial.",
)


def one_cell_a_model(grid: Grid) -> Grid:
    """The grid's first cell of each model, each at its default setting."""
    first = {cell.model: cell for cell in reversed(grid.cells)}
    return replace(grid, cells=tuple(first.values()), tuning=None)


def by_operator(job: Job) -> Iterator[tuple[str, float]]:
    """Operators of torch with their share of the trial's time, and the share of all
    between them."""
    spec = replace(job.spec, recipe=replace(job.spec.recipe, epochs=EPOCHS))
    short = replace(job, spec=spec, test=())
    started = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        attempt(short)
        whole = time.perf_counter() - started
    seconds = {event.key: event.self_cpu_time_total / 1e6 for event in profile.key_averages()}
    yield from ((name, spent / whole) for name, spent in seconds.items())
    yield "between torch's operators", 1 - sum(seconds.values()) / whole


def by_function(job: Job) -> Iterator[tuple[str, float]]:
    """Python's functions, and those it calls that are no operators, with their own share of the
    trial's processor time.
    """
    profile = cProfile.Profile(time.process_time)
    profile.runcall(attempt, job)
    stats = pstats.Stats(profile)
    for (file, line, name), (_, _, own, _, _) in stats.stats.items():
        if not any(word in name for word in ("torch", "run_backward")):
            yield f"{Path(file).name}:{line} {name}" if line else name, own / stats.total_tt


def listed(shares: Iterator[tuple[str, float]]) -> list[str]:
    """The larger ones, largest first."""
    large = sorted((share, name) for name, share in shares if share >= LEAST)
    return [f"  {share:6.1%}  {name}" for share, name in reversed(large)] or ["          none"]


def profiled(ready: Ready) -> Iterator[str]:
    """Lines for each model."""
    options = Namespace(save_predictions=False, checkpoint_minutes=1.0)

    def job(due: Due, folder: str) -> Job:
        places = Places(out=ready.place / folder, cache=ready.place / "cache", data=None)
        return job_maker(places, ready.prepared, {}, {}, options, "")(due)

    queue = TrialQueue(one_cell_a_model(ready.grid), ready.facts, {})
    while (due := queue.next(())) is not None:
        first = attempt(job(due, "run"))
        queue.add(first)
        if due.spec.phase == PRETRAIN:
            continue
        print(due.spec.cell.model, file=sys.stderr)
        yield (
            f"{due.spec.cell.model}, {first.seconds:.1f} s of which "
            f"{first.facts['score_seconds']} s scoring"
        )
        yield from (
            " between them",
            *listed(by_function(again(job(due, "run"), ready, "functions"))),
        )
        yield from (
            " operators of torch",
            *listed(by_operator(again(job(due, "run"), ready, "operators"))),
            "",
        )


def again(job: Job, ready: Ready, folder: str) -> Job:
    """The same trial, its files elsewhere."""
    return replace(job, out=str(ready.place / folder))


def main() -> None:
    """Print and keep the shares."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="segbench-profile-") as folder:
        lines = list(profiled(made_ready("demo", Path(folder))))
    keep(
        "trial_profile",
        "Where the time of final trials of the demo goes, one thread; what has 2 % or more",
        [*lines, *NOTES],
    )


if __name__ == "__main__":
    main()
