"""A trial that cannot hurt its neighbours: whatever goes wrong becomes a FAILED result with its reason."""

import time
import traceback
from dataclasses import replace
from pathlib import Path

import torch

from trials.files import write_text
from trials.job import Job, result_path, trial_folder
from trials.records import to_json
from trials.result import FAILED, TrialResult
from trials.run import OnEpoch, run_trial
from trials.spec import TUNE


def attempt(job: Job, on_epoch: OnEpoch = lambda score, reached: None) -> TrialResult:
    """Run a job and write its result.json, last and whole; returns the result."""
    started = time.perf_counter()
    try:
        result = run_trial(job, on_epoch)
    except (torch.OutOfMemoryError, MemoryError) as error:
        result = failure(job, "oom", error)
    except FloatingPointError as error:
        result = failure(job, "diverged", error)
    except TimeoutError as error:
        result = failure(job, "timeout", error)
    except Exception as error:
        result = failure(job, "exception", error)
    result = replace(result, seconds=round(time.perf_counter() - started, 3))
    write_result(Path(job.out), result)
    discard_checkpoints(job)
    return result


def failure(job: Job, reason: str, error: BaseException) -> TrialResult:
    """A FAILED result; a ValueError is written for its reader, anything else keeps the line where it arose."""
    text = str(error) or type(error).__name__
    if not isinstance(error, ValueError | FloatingPointError):
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"
    return TrialResult(trial=job.trial, spec=job.spec, state=FAILED, reason=reason, error=text, commit=job.commit)


def write_result(out: Path, result: TrialResult) -> None:
    """Write a trial's result.json; if it exists, it is complete."""
    write_text(result_path(out, result.trial), to_json(result))


def discard_checkpoints(job: Job) -> None:
    """Delete what only a continuation needs; the best weights stay, but for tuning, whose trials nobody loads."""
    folder = trial_folder(job.out, job.trial)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    if job.spec.phase == TUNE:
        (folder / "best.pt").unlink(missing_ok=True)
