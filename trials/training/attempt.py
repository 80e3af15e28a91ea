"""Runs a trial and writes its result: every failure of the trial becomes a FAILED result with a
reason, so other trials continue.
"""

import time
import traceback
from dataclasses import replace
from pathlib import Path

from trials.identity.code_identity import changed_parts, code_of
from trials.inference.network import pick_device
from trials.process.environment import peak_gib
from trials.records.job import Job, best_path, result_path, trial_folder
from trials.records.result import FAILED, PRUNED, TrialResult
from trials.records.result_file import parse_result, read_result, result_text
from trials.storage.atomic import NotWritten, to_path, write_text
from trials.storage.object_store import StoreUnavailable
from trials.storage.spool import read_spooled, write_or_spool
from trials.training.attempt_log import (
    attempts_facts,
    delete_attempts,
    halve_batches,
    start_attempt,
)
from trials.training.checkpoint import save_weights
from trials.training.loop import Diverged
from trials.training.memory import (
    can_halve,
    is_out_of_memory,
    memory_facts,
    note_exhausted,
    oom_text,
)
from trials.training.precision import WrongArithmetic
from trials.training.run import OnEpoch, OnNote, checkpoints, run_trial

# Written beside the result.json of a trial that raised an unexpected exception.
TRACEBACK = "traceback.txt"


def attempt(
    job: Job, on_epoch: OnEpoch = lambda score, reached: None, on_note: OnNote = lambda note: None
) -> TrialResult:
    """Run a job, write its result.json as the last file, and return the result.

    If an earlier attempt on this node spooled its result, that result is written instead; a result
    that already exists is returned. Raises OSError if an output file cannot be written or a store
    is unavailable, and ValueError if this node has no scratch folder or runs other code than the
    driver. After either error the trial is still to be run.
    """
    started = time.perf_counter()
    job = add_code_digests(job)
    result = collect_spooled(job) or read_existing_result(job)
    if result is None:
        job, number = start_attempt(job)
        result = run_in_halves_if_needed(job, on_epoch, on_note)
        seconds = round(time.perf_counter() - started, 3)
        result = replace(result, seconds=seconds, facts={**result.facts, **attempts_facts(number)})
        write_or_spool(result_path(job.out, job.trial), result_text(result))
    checkpoints(job).discard()
    delete_attempts(job)
    return result


def add_code_digests(job: Job) -> Job:
    """The job with the digests of the code that this process runs. Raises ValueError if they differ
    from the job's own.
    """
    code = code_of(job.spec)
    if job.code and (changed := changed_parts(job.code, code)):
        raise ValueError(
            f"every node must run the driver's code; this process has another "
            f"{', another '.join(changed)}; install the same segbench and the same modules of your "
            "own on every node, and make sure that a grid file defines the same parts on every run"
        )
    return replace(job, code=code)


def run_in_halves_if_needed(job: Job, on_epoch: OnEpoch, on_note: OnNote) -> TrialResult:
    """The job's result; if memory runs out, the result of a second run with each batch in two
    halves.
    """
    result = run_and_catch(job, on_epoch, on_note)
    return (
        run_and_catch(halve_batches(job), on_epoch, on_note)
        if result.reason == "oom" and can_halve(job)
        else result
    )


def collect_spooled(job: Job) -> TrialResult | None:
    """The result that was spooled on this node, now written to the run folder; None if there is
    none.
    """
    path = result_path(job.out, job.trial)
    if (text := read_spooled(path)) is None:
        return None
    try:
        found = parse_result(text)
    except ValueError:
        return None
    if must_run(found, job):
        return None
    write_or_spool(path, text)
    return found


def read_existing_result(job: Job) -> TrialResult | None:
    """The existing result of a job's trial; None if it is missing or unreadable, or if the trial
    must run again.
    """
    try:
        found = read_result(to_path(job.out), job.trial, patience=0)
    except (OSError, ValueError):
        return None
    return None if must_run(found, job) else found


def must_run(found: TrialResult, job: Job) -> bool:
    """Whether a trial with this result must run: it was interrupted, ran other code, or was pruned
    and its grid no longer prunes.
    """
    return (
        found.code != job.code
        or found.reason == "interrupted"
        or (found.state == PRUNED and not job.rungs)
    )


def run_and_catch(job: Job, on_epoch: OnEpoch, on_note: OnNote) -> TrialResult:
    """The trial's result; every exception but NotWritten and StoreUnavailable gives a FAILED
    result.
    """
    try:
        return run_trial(job, on_epoch, on_note)
    except (NotWritten, StoreUnavailable):
        raise
    except Diverged as error:
        return diverged_result(job, error)
    except FloatingPointError as error:
        return failed_result(job, "diverged", error)
    except WrongArithmetic as error:
        return failed_result(job, "precision", error)
    except TimeoutError as error:
        return failed_result(job, "timeout", error)
    except Exception as error:
        if is_out_of_memory(error):
            note_exhausted()
            return oom_result(job, error)
        write_text(
            trial_folder(job.out, job.trial) / TRACEBACK, "".join(traceback.format_exception(error))
        )
        return failed_result(job, "exception", error)


def diverged_result(job: Job, error: Diverged) -> TrialResult:
    """A FAILED result; the weights of the best epoch before it, if any, are kept in best.pt, and
    its facts say so.
    """
    result = failed_result(job, "diverged", error)
    if not error.best_weights:
        return result
    digest = save_weights(best_path(job.out, job.trial), error.best_weights)
    facts = {"weights_kept": f"best.pt, of epoch {error.best_epoch + 1}", "weights_sha256": digest}
    return replace(result, best_epoch=error.best_epoch, facts=facts)


def oom_result(job: Job, error: BaseException) -> TrialResult:
    """A FAILED result with the trial's batch, cube and peak memory."""
    result = failed_result(job, "oom", error)
    return replace(
        result,
        error=oom_text(job, error),
        peak_gib=peak_gib(pick_device()),
        facts=memory_facts(job),
    )


def failed_result(job: Job, reason: str, error: BaseException) -> TrialResult:
    """A FAILED result; messages of a ValueError are kept as they are, other exceptions get their
    type and source line.
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
