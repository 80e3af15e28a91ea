"""A trial that cannot hurt its neighbours: whatever goes wrong becomes a FAILED result with its
reason.
"""

import time
import traceback
from dataclasses import replace
from pathlib import Path

from trials.identity.code_identity import code_of, other_parts
from trials.inference.network import pick_device
from trials.process.environment import peak_gib
from trials.records.job import Job, best_path, result_path, trial_folder
from trials.records.result import FAILED, PRUNED, TrialResult
from trials.records.result_file import parse_result, read_result, result_text
from trials.storage.atomic import NotWritten, to_path, write_text
from trials.storage.object_store import StoreAway
from trials.storage.spool import read_spooled, write_or_spool
from trials.training.attempt_log import attempts_facts, begin, forget, halve
from trials.training.checkpoint import save_weights
from trials.training.divergence import Diverged
from trials.training.memory import (
    can_halve,
    is_out_of_memory,
    memory_facts,
    note_exhausted,
    oom_text,
)
from trials.training.precision import WrongArithmetic
from trials.training.run import OnEpoch, OnNote, checkpoints, run_trial

# Beside the result.json of a trial that raised what no user can be expected to understand.
TRACEBACK = "traceback.txt"


def attempt(
    job: Job, on_epoch: OnEpoch = lambda score, reached: None, on_note: OnNote = lambda note: None
) -> TrialResult:
    """Run a job and write its result.json, last and whole; returns the result.

    A result that an earlier attempt on this node could not bring to the run folder is brought there
    instead, and one that it wrote before its worker was lost stands. Raises OSError where a file of
    ours finds no place or a store stays away, ValueError where this node has no scratch folder or
    would run other code than the driver: none says anything of the trial, which is still to be run.
    """
    started = time.perf_counter()
    job = identify(job)
    result = collect_spooled(job) or written_before(job)
    if result is None:
        job, number = begin(job)
        result = run_in_halves_if_needed(job, on_epoch, on_note)
        seconds = round(time.perf_counter() - started, 3)
        result = replace(result, seconds=seconds, facts={**result.facts, **attempts_facts(number)})
        write_or_spool(result_path(job.out, job.trial), result_text(result))
    checkpoints(job).discard()
    forget(job)
    return result


def identify(job: Job) -> Job:
    """The job with the digests of the code that this process runs. Raises ValueError where the job
    asks for others.
    """
    code = code_of(job.spec)
    if job.code and (changed := other_parts(job.code, code)):
        raise ValueError(
            f"this process would run another {', another '.join(changed)} than the driver; give "
            "every node the same segbench "
            "and the same modules of yours, and let a grid file make the same parts wherever and "
            "whenever it is run"
        )
    return replace(job, code=code)


def run_in_halves_if_needed(job: Job, on_epoch: OnEpoch, on_note: OnNote) -> TrialResult:
    """The job's outcome; where memory ran out, that of a second time with each batch in
    two halves."""
    result = outcome(job, on_epoch, on_note)
    return (
        outcome(halve(job), on_epoch, on_note)
        if result.reason == "oom" and can_halve(job)
        else result
    )


def collect_spooled(job: Job) -> TrialResult | None:
    """The result of a job's trial that waited on this node, brought to the run folder; None where
    there is none.
    """
    path = result_path(job.out, job.trial)
    if (text := read_spooled(path)) is None:
        return None
    try:
        found = parse_result(text)
    except ValueError:
        return None
    if is_to_run(found, job):
        return None
    write_or_spool(path, text)
    return found


def written_before(job: Job) -> TrialResult | None:
    """The result that a job's trial has; None without one that can be read, and where the trial is
    to run all the same.
    """
    try:
        found = read_result(to_path(job.out), job.trial, patience=0)
    except (OSError, ValueError):
        return None
    return None if is_to_run(found, job) else found


def is_to_run(found: TrialResult, job: Job) -> bool:
    """Whether a trial with this result is to run: it was stopped, was pruned when its grid still
    pruned, or ran other code.
    """
    return (
        found.code != job.code
        or found.reason == "interrupted"
        or (found.state == PRUNED and not job.rungs)
    )


def outcome(job: Job, on_epoch: OnEpoch, on_note: OnNote) -> TrialResult:
    """The trial's result, a FAILED one for whatever was raised but NotWritten and StoreAway."""
    try:
        return run_trial(job, on_epoch, on_note)
    except (NotWritten, StoreAway):
        raise
    except Diverged as error:
        return diverged(job, error)
    except FloatingPointError as error:
        return failure(job, "diverged", error)
    except WrongArithmetic as error:
        return failure(job, "precision", error)
    except TimeoutError as error:
        return failure(job, "timeout", error)
    except Exception as error:
        if is_out_of_memory(error):
            note_exhausted()
            return out_of_memory(job, error)
        write_text(
            trial_folder(job.out, job.trial) / TRACEBACK, "".join(traceback.format_exception(error))
        )
        return failure(job, "exception", error)


def diverged(job: Job, error: Diverged) -> TrialResult:
    """A FAILED result; the weights of the best epoch before it, where there was one, stay in
    best.pt, as its facts say.
    """
    result = failure(job, "diverged", error)
    if not error.best_weights:
        return result
    digest = save_weights(best_path(job.out, job.trial), error.best_weights)
    facts = {"weights_kept": f"best.pt, of epoch {error.best_epoch + 1}", "weights_sha256": digest}
    return replace(result, best_epoch=error.best_epoch, facts=facts)


def out_of_memory(job: Job, error: BaseException) -> TrialResult:
    """A FAILED result that says what the trial wanted."""
    result = failure(job, "oom", error)
    return replace(
        result,
        error=oom_text(job, error),
        peak_gib=peak_gib(pick_device()),
        facts=memory_facts(job),
    )


def failure(job: Job, reason: str, error: BaseException) -> TrialResult:
    """A FAILED result; a ValueError is written for its reader, anything else keeps the line where
    it arose.
    """
    text = str(error) or type(error).__name__
    if not isinstance(error, ValueError | FloatingPointError | WrongArithmetic):
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"
    return TrialResult(
        trial=job.trial,
        spec=job.spec,
        state=FAILED,
        reason=reason,
        error=text,
        commit=job.commit,
        code=job.code,
    )
