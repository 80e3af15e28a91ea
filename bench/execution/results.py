"""Which trials of a run folder already have a result: our result files are the truth, whatever Ray
remembers.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trials.records import result_file
from trials.records.result import TrialResult
from trials.storage.atomic import find_files


def read_results(out: Path) -> dict[str, TrialResult]:
    """Every finished trial of a run folder, by its hash. Interrupted ones count as not done.

    So do those whose file is damaged, which is said: the trial is run again and its file written
    anew.
    """
    return {result.trial: result for result in _finished(out)}


def has_results(out: Path) -> bool:
    """Whether any trial of a run folder is finished; no more files are read than that takes."""
    return next(_finished(out), None) is not None


def read_result(out: Path, trial: str) -> TrialResult | None:
    """The result of one trial, or None where there is none yet, or none that its digest or its keys
    let us believe.

    It comes without scores and surfaces, of which a large grid has a million and only the report
    wants any.
    """
    try:
        result = result_file.read_result(out, trial)
    except FileNotFoundError:
        return None
    except ValueError as error:
        print(f"{error}: the trial counts as not run", file=sys.stderr)
        return None
    return replace(result, scores=(), surfaces=())


def digest_of(out: Path, trial: str) -> str:
    """The SHA-256 of the weights that a finished trial left, "" where its result names none."""
    result = read_result(out, trial)
    return str(result.facts.get("weights_sha256", "")) if result else ""


def _finished(out: Path) -> Iterator[TrialResult]:
    results = (
        read_result(out, path.parent.name) for path in find_files(out, "trials/*/result.json")
    )
    return (result for result in results if result is not None and result.reason != "interrupted")
