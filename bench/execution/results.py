"""The finished trials of a run folder. Its result files are the only record of that; the state of
Ray is not used.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trials.records import result_file
from trials.records.result import TrialResult
from trials.storage.atomic import find_files


def read_results(out: Path) -> dict[str, TrialResult]:
    """Every finished trial of a run folder, by its hash. Interrupted trials count as not finished.

    So do trials with a damaged result file: a message is printed, the trial runs again and its file
    is rewritten.
    """
    return {result.trial: result for result in _finished(out)}


def has_results(out: Path) -> bool:
    """Whether any trial of a run folder is finished. Stops at the first one."""
    return next(_finished(out), None) is not None


def read_result(out: Path, trial: str) -> TrialResult | None:
    """The result of one trial; None if there is none yet, or if its checksum or its keys are wrong.

    Scores and surfaces are dropped: a large grid has a million of them and only the report uses
    them.
    """
    try:
        result = result_file.read_result(out, trial)
    except FileNotFoundError:
        return None
    except ValueError as error:
        print(f"{error}: the trial counts as not run and will run again", file=sys.stderr)
        return None
    return replace(result, scores=(), surfaces=())


def digest_of(out: Path, trial: str) -> str:
    """The SHA-256 of the weights that a finished trial wrote; "" if its result has none."""
    result = read_result(out, trial)
    return str(result.facts.get("weights_sha256", "")) if result else ""


def _finished(out: Path) -> Iterator[TrialResult]:
    results = (
        read_result(out, path.parent.name) for path in find_files(out, "trials/*/result.json")
    )
    return (result for result in results if result is not None and result.reason != "interrupted")
