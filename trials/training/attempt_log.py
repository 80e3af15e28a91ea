"""What a trial's folder remembers from one attempt to the next, until there is a result: how often
it began, in which parts.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from trials.records.codec import from_json, to_json
from trials.records.job import Job, trial_folder
from trials.storage.atomic import NotWritten, delete, read_text, write_text
from trials.storage.checksum import add_checksum
from trials.storage.object_store import StoreAway

HALVES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How often a trial was begun, in how many parts its batches go through, and the digests of the
    code that it runs.
    """

    number: int = 0
    accumulation_steps: int = 1
    code: Mapping[str, str] = field(default_factory=dict)


def begin(job: Job) -> tuple[Job, int]:
    """The job in as many parts a batch as an earlier attempt of it came to, and the number of this
    attempt, from 1.
    """
    before = attempts(job)
    now = replace(before, number=before.number + 1)
    # A store that is away costs the count: training goes on without it.
    with suppress(NotWritten):
        write_text(attempts_path(job.out, job.trial), add_checksum(to_json(now)), patience=0)
    return replace(
        job, accumulation_steps=max(job.accumulation_steps, before.accumulation_steps)
    ), now.number


def halve(job: Job) -> Job:
    """The same job with each batch in two halves whose gradients are added up; its folder
    remembers.
    """
    write_text(
        attempts_path(job.out, job.trial),
        add_checksum(to_json(replace(attempts(job), accumulation_steps=HALVES))),
    )
    return replace(job, accumulation_steps=HALVES)


def attempts(job: Job) -> Attempts:
    """What the trial's folder remembers of attempts with the job's code; of a damaged
    file nothing."""
    before = read_attempts(job.out, job.trial)
    return before if before is not None and before.code == job.code else Attempts(code=job.code)


def read_attempts(out: str | Path, trial: str) -> Attempts | None:
    """What a trial's folder remembers, whatever code it ran; None where there is nothing, or
    nothing whole.
    """
    try:
        return from_json(Attempts, read_text(attempts_path(out, trial)))
    except (FileNotFoundError, ValueError):
        return None


def attempts_facts(number: int) -> dict[str, object]:
    """What a result says of attempts before it: of workers that were lost, and of stops
    in between."""
    return {"attempts": number} if number > 1 else {}


def forget(job: Job) -> None:
    """Delete what only a continuation needs; a store that stays away keeps it."""
    with suppress(StoreAway):
        delete(attempts_path(job.out, job.trial))


def attempts_path(out: str | Path, trial: str) -> Path:
    """The file in which a trial's folder remembers."""
    return trial_folder(out, trial) / "attempts.json"
