"""A trial that cannot hurt its neighbours: whatever goes wrong becomes a FAILED result with its reason."""

import time
import traceback
from dataclasses import replace
from pathlib import Path

from trials.environment import peak_gib
from trials.files import read_bytes, write_text
from trials.job import Job, result_path
from trials.memory import can_halve, forget, halved, is_out_of_memory, memory_facts, oom_text, remembered
from trials.network import pick_device
from trials.records import from_json, sealed, to_json
from trials.result import FAILED, PRUNED, TrialResult
from trials.run import OnEpoch, checkpoints, run_trial
from trials.scratch import deliver, undelivered


def attempt(job: Job, on_epoch: OnEpoch = lambda score, reached: None) -> TrialResult:
    """Run a job and write its result.json, last and whole; returns the result.

    A result that an earlier attempt on this node could not bring to the run folder is brought there instead, and one that it
    wrote before its worker was lost stands.
    """
    path, started = result_path(job.out, job.trial), time.perf_counter()
    if (text := undelivered(path)) is not None:
        deliver(path, text)
        return from_json(TrialResult, text)
    if (found := written_before(job)) is not None:
        checkpoints(job).discard()
        forget(job)
        return found
    job = remembered(job)
    result = outcome(job, on_epoch)
    if result.reason == "oom" and can_halve(job):
        job = halved(job)
        result = outcome(job, on_epoch)
    result = replace(result, seconds=round(time.perf_counter() - started, 3))
    deliver(path, result_text(result))
    checkpoints(job).discard()
    forget(job)
    return result


def written_before(job: Job) -> TrialResult | None:
    """The result that a job's trial has; None without one that can be read, and where the trial is to go on.

    That is one which was stopped, or was pruned when its grid still pruned.
    """
    try:
        found = from_json(TrialResult, read_bytes(result_path(job.out, job.trial), patience=0).decode())
    except (OSError, ValueError):
        return None
    goes_on = found.reason == "interrupted" or (found.state == PRUNED and not job.rungs)
    return None if goes_on else found


def outcome(job: Job, on_epoch: OnEpoch) -> TrialResult:
    """The trial's result, a FAILED one for whatever was raised."""
    try:
        return run_trial(job, on_epoch)
    except FloatingPointError as error:
        return failure(job, "diverged", error)
    except TimeoutError as error:
        return failure(job, "timeout", error)
    except Exception as error:
        return out_of_memory(job, error) if is_out_of_memory(error) else failure(job, "exception", error)


def out_of_memory(job: Job, error: BaseException) -> TrialResult:
    """A FAILED result that says what the trial wanted."""
    result = failure(job, "oom", error)
    return replace(result, error=oom_text(job, error), peak_gib=peak_gib(pick_device()), facts=memory_facts(job))


def failure(job: Job, reason: str, error: BaseException) -> TrialResult:
    """A FAILED result; a ValueError is written for its reader, anything else keeps the line where it arose."""
    text = str(error) or type(error).__name__
    if not isinstance(error, ValueError | FloatingPointError):
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"
    return TrialResult(trial=job.trial, spec=job.spec, state=FAILED, reason=reason, error=text, commit=job.commit)


def write_result(out: Path, result: TrialResult) -> None:
    """Write a trial's result.json; if it exists, it is complete."""
    write_text(result_path(out, result.trial), result_text(result))


def result_text(result: TrialResult) -> str:
    """What result.json holds: the record, sealed with its digest."""
    return sealed(to_json(result))
