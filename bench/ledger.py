"""Which trials of a run folder already have a result: our result files are the truth, whatever Ray remembers."""

from pathlib import Path

from trials.job import result_path
from trials.records import from_json
from trials.result import TrialResult


def read_results(out: Path) -> dict[str, TrialResult]:
    """Every finished trial of a run folder, by its hash. Interrupted ones count as not done.

    Raises ValueError naming the file where one cannot be read.
    """
    results = (read_result(out, path.parent.name) for path in sorted(out.glob("trials/*/result.json")))
    return {result.trial: result for result in results if result is not None and result.reason != "interrupted"}


def read_result(out: Path, trial: str) -> TrialResult | None:
    """The result of one trial, or None where there is none yet."""
    path = result_path(out, trial)
    if not path.is_file():
        return None
    try:
        return from_json(TrialResult, path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); delete its folder and run again") from None
