"""A trial handed to a process: the spec, and where its files lie. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trials.records.spec import TrialSpec
from trials.storage.atomic import to_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A trial whose best validation score after so many epochs is below `least` is pruned."""

    epochs: int
    least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything run_trial needs. out is the run folder, cache the prepared set's folder, each a
    path or a URL.

    test is empty unless the spec's phase is final: other trials are not given the test cases at
    all. patients maps a training or validation case to its patient, where a patient has several
    cases. rungs prune a search trial; they follow from its study's earlier results and are no part
    of the spec, whose hash names it. weights is the file that spec.weights names, or None, and
    weights_sha256 the file's digest where it is known. checkpoint_minutes is the least time between
    two checkpoints, 0 for one after every epoch. threads is the number of CPU threads, which
    results depend on; scoring_threads how many cases are counted at once. accumulation_steps is how
    many pieces a batch goes through in, their gradients added up: 2 where memory ran out before.
    code holds the digests of the code that the trial is to run, as code_of(spec) gives them on the
    driver.
    """

    trial: str
    spec: TrialSpec
    out: str
    cache: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...] = ()
    patients: Mapping[str, str] = field(default_factory=dict)
    rungs: tuple[Rung, ...] = ()
    weights: str | None = None
    weights_sha256: str = ""
    checkpoint_minutes: float = 1.0
    save_predictions: bool = False
    threads: int = 1
    scoring_threads: int = 1
    commit: str = ""
    accumulation_steps: int = 1
    code: Mapping[str, str] = field(default_factory=dict)


def trial_folder(out: str | Path, trial: str) -> Path:
    """Where a trial keeps its checkpoint, its result and its predictions."""
    return to_path(out) / "trials" / trial


def result_path(out: str | Path, trial: str) -> Path:
    """The file whose existence says that the trial is done."""
    return trial_folder(out, trial) / "result.json"


def best_path(out: str | Path, trial: str) -> Path:
    """The weights of the trial's best epoch."""
    return trial_folder(out, trial) / "best.pt"
