"""A training worker killed (-9) at random moments and started again: do result and final weights
equal the straight ones?

    python benchmarks/worker_kills.py --times 100 --out benchmarks/results/worker_kills.txt

Each worker is a fork of this process that runs trials.training.attempt on one job, as a Ray worker
does.
"""

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import torch
import torch._dynamo  # every optimizer imports it: children find it imported

from bench.grids import DEMO
from trials.data.datasets.phantoms.writing import write_phantoms
from trials.data.datasets.registry import open_dataset
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.process.versions import processor_name
from trials.records.codec import from_json, record_hash
from trials.records.job import Job, best_path, result_path
from trials.records.result import TrialResult
from trials.records.spec import FINAL, Cell, TrialSpec
from trials.training.attempt import attempt

RECIPE = replace(DEMO.recipes["3d"], epochs=6, steps_per_epoch=3, train_cases_scored=1)


def make_job(folder: Path) -> Job:
    """A small trial on phantoms, prepared below folder."""
    write_phantoms(folder / "phantoms", 12, 0)
    prepared = prepare_dataset(
        open_dataset("phantoms", folder / "phantoms"),
        RECIPE.preparation,
        folder / "cache",
        workers=1,
    )
    cache = open_cache(prepared)
    spec = TrialSpec(
        dataset="phantoms",
        data=cache.digest,
        splits="sequential",
        fold=0,
        cell=Cell(model="unet3d", loss="combined", sampling="none"),
        hyper={"lr": 0.01},
        recipe=RECIPE,
        seed=0,
        phase=FINAL,
    )
    cases = tuple(sorted(cache.cases))
    split = {"train": cases[:10], "val": cases[10:11], "test": cases[11:]}
    return Job(
        trial=record_hash(spec),
        spec=spec,
        out="",
        cache=str(prepared),
        checkpoint_minutes=0.0,
        **split,
    )


def start(job: Job) -> int:
    """Fork a worker on a job; returns its process id."""
    child = os.fork()
    if child == 0:
        attempt(job)
        os._exit(0)
    return child


def survived(child: int, seconds: float | None) -> bool:
    """Kill a worker after so many seconds, None never; True if it had ended before."""
    ends = None if seconds is None else time.monotonic() + seconds
    while ends is None or time.monotonic() < ends:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def outcome(job: Job) -> tuple[TrialResult | None, bytes]:
    """What a trial left, without clocks and memory, and its final weights; None where it left
    nothing.
    """
    path = result_path(job.out, job.trial)
    if not path.is_file():
        return None, b""
    result = from_json(TrialResult, path.read_text())
    curve = tuple(replace(score, seconds=0.0) for score in result.curve)
    plain = replace(result, curve=curve, seconds=0.0, peak_gib=0.0, started="", facts={})
    return plain, best_path(job.out, job.trial).read_bytes()


def kill_often(folder: Path, job: Job, times: int, span: float) -> Counter[str]:
    """Kill workers until so many were killed; a trial that ends is compared with the straight one
    and a new one begun.
    """
    tally, straight = Counter[str](), outcome(replace(job, out=str(folder / "straight")))
    while tally["kills"] < times or tally["open"]:
        out = folder / f"killed-{tally['trials']}"
        rest = tally["kills"] >= times
        if not survived(
            start(replace(job, out=str(out))), None if rest else random.uniform(0.0, 2 * span)
        ):
            tally["kills"] += 1
            tally["open"] = 1
            tally["with a checkpoint"] += bool(list(out.glob("trials/*/checkpoint-*.pt")))
            continue
        result, weights = outcome(replace(job, out=str(out)))
        tally["open"] = 0
        tally["trials"] += 1
        tally["lost"] += result is None
        tally["other results"] += result != straight[0]
        tally["other weights"] += weights != straight[1]
        tally["damaged"] += (
            result is None
            or "checkpoints"
            in from_json(TrialResult, result_path(out, job.trial).read_text()).facts
        )
        shutil.rmtree(out)
    return tally


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    random.seed(given.seed)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        job = make_job(Path(place))
        begun = time.monotonic()
        survived(start(replace(job, out=str(Path(place) / "straight"))), None)
        span = time.monotonic() - begun
        tally = kill_often(Path(place), job, given.times, span)
    text = "\n".join(
        [
            f"worker killed (-9) at random moments, {datetime.now():%Y-%m-%d %H:%M}, "
            f"{processor_name()}",
            f"a trial of {RECIPE.epochs} epochs on one thread, {span:.1f} s uninterrupted, moments "
            "drawn from 0 to twice that",
            f"kills                            {tally['kills']}, {tally['with a checkpoint']} with "
            "a checkpoint to go on from",
            f"trials that came to their end    {tally['trials']}",
            f"trials lost                      {tally['lost']}",
            f"with another result              {tally['other results']}",
            f"with other final weights         {tally['other weights']}",
            f"that met a damaged checkpoint    {tally['damaged']}",
        ]
    )
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
