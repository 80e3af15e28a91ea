"""One trial from spec to result, independent of Ray and of grids; attempt.py turns its failures
into results.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime

import torch

from trials.data.batches.patches import PatchFeed
from trials.data.prepared.cache import Cache, open_cache
from trials.inference.evaluate import Evaluated, Evaluation, evaluate, mirrored_scores
from trials.inference.network import Network
from trials.models.build import item_multiply_adds, num_parameters, num_trainable
from trials.process.environment import machine_facts, peak_gib, reset_peak
from trials.process.versions import versions
from trials.records.job import Job, best_path, trial_folder
from trials.records.result import COMPLETE, PRUNED, CaseScore, EpochScore, TrialResult
from trials.records.spec import FINAL, PRETRAIN, TUNE, Spacing, input_shape
from trials.storage.atomic import to_path
from trials.training.build import make_network, make_restoration, make_segmentation
from trials.training.checkpoint import Checkpoints, save_weights
from trials.training.loop import fit
from trials.training.memory import limit_share, memory_facts
from trials.training.progress import Progress
from trials.training.warm_up import beside_network, warm_up

OnEpoch = Callable[[EpochScore, float], None]
OnNote = Callable[[str], None]
# Facts that are reported to the user when the trial starts.
NOTES = ("compile_note", "precision_note")


def run_trial(job: Job, on_epoch: OnEpoch, on_note: OnNote = lambda note: None) -> TrialResult:
    """Train and score one trial, and return its result without writing it; a trial that a rung
    prunes is not scored.

    Before the first step, on_note receives each deviation from the recipe. Raises ValueError for
    what a user can fix, FloatingPointError for divergence, WrongArithmetic, torch.OutOfMemoryError.
    """
    torch.set_num_threads(job.threads)
    limit_share(job.spec.recipe.gpu_share)
    reset_peak()
    started, start_clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    cache = open_cache(to_path(job.cache))
    task, facts = (make_restoration if job.spec.phase == PRETRAIN else make_segmentation)(
        job, cache
    )
    network, warmed = warm_up(make_network(job, cache), task, job.spec)
    task = beside_network(network, task, job.spec)
    facts |= warmed | input_facts(cache)
    if isinstance(task.feed, PatchFeed):
        facts["training_set"] = "on the GPU" if task.feed.is_on_gpu else "read from its files"
    for note in (str(warmed[name]) for name in NOTES if name in warmed):
        on_note(note)
    clock = time.perf_counter()
    kept = checkpoints(job)
    progress = fit(network, task, job.spec.recipe, job.spec.seed, kept, on_epoch)
    trained = time.perf_counter()
    facts |= save_best_weights(job, network) | ({"checkpoints": kept.notes} if kept.notes else {})
    is_scored = job.spec.phase != PRETRAIN and not progress.is_pruned(job.rungs)
    facts["training_peak_gib"] = peak = peak_gib(network.device)
    reset_peak()
    cases, mirrored, cost = score_cases(job, network, cache) if is_scored else ((), (), {})
    seconds = cost | {
        "seconds_to_first_step": round(clock - start_clock, 3),
        "train_seconds": round(trained - clock, 2),
        "score_seconds": round(time.perf_counter() - trained, 2),
        "share_beside_model": round(progress.share_beside_model(), 4),
    }
    repairs: dict[str, object] = (
        {"cases_prepared_again": cache.made_again} if cache.made_again else {}
    )
    result = trained_result(job, network, progress, cases, facts | seconds | repairs, started)
    return replace(result, mirrored=mirrored, peak_gib=max(peak, result.peak_gib))


def input_facts(cache: Cache) -> dict[str, object]:
    """What new images need to become the network's input, beside the recipe and the scalings of
    patches: the spacing that a rule gave; the mean and deviation of each channel in a "train"
    preparation.
    """
    if isinstance(cache.preparation, Spacing):
        return {"spacing_mm": list(cache.preparation.mm)}
    statistics = [one and asdict(one) for one in cache.statistics or ()]
    return {"normalised_by": statistics} if any(statistics) else {}


def checkpoints(job: Job) -> Checkpoints:
    """The checkpoints of a job's trial."""
    folder = trial_folder(job.out, job.trial)
    return Checkpoints(folder=folder, spec=job.spec, code=job.code, minutes=job.checkpoint_minutes)


def save_best_weights(job: Job, network: Network) -> dict[str, object]:
    """Save the best weights and return their digest; a tuning trial saves none, since they are
    never loaded.
    """
    if job.spec.phase == TUNE:
        return {}
    return {
        "weights_sha256": save_weights(best_path(job.out, job.trial), network.module.state_dict())
    }


def score_cases(
    job: Job, network: Network, cache: Cache
) -> tuple[tuple[Evaluated, ...], tuple[CaseScore, ...], dict[str, object]]:
    """Counts of every validation case and, in the final phase, of every test case, for which files
    are written for the report; their mirrored scores, where the recipe asks for them; and what the
    predictions cost.
    """
    folder, plan = trial_folder(job.out, job.trial), evaluation(job, cache)
    splits, is_final = {"val": job.val}, job.spec.phase == FINAL
    if is_final:
        splits["test"] = job.test
        plan = replace(plan, references=to_path(job.out) / "cases", pictures=folder / "cases")
    cases = tuple(evaluate(network, plan, splits))
    cost: dict[str, object] = {
        "prediction_seconds_a_case": round(sum(case.seconds for case in cases) / len(cases), 3),
        "prediction_peak_gib": peak_gib(network.device),
    }
    if not (is_final and job.spec.recipe.mirror_test):
        return cases, (), cost
    return cases, tuple(mirrored_scores(network, evaluation(job, cache), job.test)), cost


def evaluation(job: Job, cache: Cache) -> Evaluation:
    """How a job's cases are predicted and scored, without the report's files."""
    folder = trial_folder(job.out, job.trial)
    return Evaluation(
        cache=cache,
        batch_size=job.spec.recipe.batch_size,
        regions=job.spec.regions,
        overlap=job.spec.recipe.overlap,
        threads=job.scoring_threads,
        predictions=folder / "predictions" if job.save_predictions else None,
    )


def trained_result(
    job: Job,
    network: Network,
    progress: Progress,
    cases: tuple[Evaluated, ...],
    facts: dict[str, object],
    started: str,
) -> TrialResult:
    """The record of a trial that completed or was pruned."""
    recipe, module = job.spec.recipe, network.module
    return TrialResult(
        trial=job.trial,
        spec=job.spec,
        state=PRUNED if progress.is_pruned(job.rungs) else COMPLETE,
        val_score=progress.best_score,
        best_epoch=progress.best_epoch,
        scores=tuple(score for case in cases for score in case.scores),
        surfaces=tuple(surface for case in cases for surface in case.surfaces),
        curve=tuple(progress.curve),
        peak_gib=peak_gib(network.device),
        num_parameters=num_parameters(module),
        num_trainable=num_trainable(module),
        multiply_adds=item_multiply_adds(module, network.dims, recipe, network.channels)
        * (1 if network.dims == 3 else input_shape(recipe)[0]),
        started=started,
        commit=job.commit,
        code=job.code,
        versions=versions(),
        facts=facts | memory_facts(job) | machine_facts(network.device, network.autocast),
    )
