"""attempts.json in a trial's folder, kept until there is a result: how often the trial started, and
in how many parts its batches run.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from trials.records.codec import from_json, to_json
from trials.records.job import Job, trial_folder
from trials.storage.atomic import NotWritten, delete, read_text, write_text
from trials.storage.checksum import add_checksum
from trials.storage.object_store import StoreUnavailable

HALVES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How often a trial was started, in how many parts its batches run, and the digests of its
    code.
    """

    number: int = 0
    accumulation_steps: int = 1
    code: Mapping[str, str] = field(default_factory=dict)


def start_attempt(job: Job) -> tuple[Job, int]:
    """The job with the accumulation steps of earlier attempts, and the number of this attempt, from
    1.
    """
    before = attempts_of(job)
    now = replace(before, number=before.number + 1)
    # If this write fails, only the count is lost: training continues.
    with suppress(NotWritten):
        write_text(attempts_path(job.out, job.trial), add_checksum(to_json(now)), patience=0)
    return replace(
        job, accumulation_steps=max(job.accumulation_steps, before.accumulation_steps)
    ), now.number


def halve_batches(job: Job) -> Job:
    """The same job with each batch in two halves whose gradients are summed; also recorded in its
    folder.
    """
    write_text(
        attempts_path(job.out, job.trial),
        add_checksum(to_json(replace(attempts_of(job), accumulation_steps=HALVES))),
    )
    return replace(job, accumulation_steps=HALVES)


def attempts_of(job: Job) -> Attempts:
    """The recorded attempts with the job's code; none if the file is missing or damaged."""
    before = read_attempts(job.out, job.trial)
    return before if before is not None and before.code == job.code else Attempts(code=job.code)


def read_attempts(out: str | Path, trial: str) -> Attempts | None:
    """The recorded attempts of any code; None if the file is missing or damaged."""
    try:
        return from_json(Attempts, read_text(attempts_path(out, trial)))
    except (FileNotFoundError, ValueError):
        return None


def attempts_facts(number: int) -> dict[str, object]:
    """The fact that a result records about earlier attempts, which lost workers or interruptions
    ended.
    """
    return {"attempts": number} if number > 1 else {}


def delete_attempts(job: Job) -> None:
    """Delete the attempts file; ignored if the store is unavailable."""
    with suppress(StoreUnavailable):
        delete(attempts_path(job.out, job.trial))


def attempts_path(out: str | Path, trial: str) -> Path:
    """The attempts file of a trial."""
    return trial_folder(out, trial) / "attempts.json"
