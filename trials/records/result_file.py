"""result.json: what a trial left, read in one place and written in one place; and the finished
trials of a run folder, of which these files are the only record.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trials.records.codec import check_kinds, from_json, refuse_huge, to_json
from trials.records.job import result_path
from trials.records.record import shown
from trials.records.result import TrialResult
from trials.storage.atomic import find_files, read_bytes, write_text
from trials.storage.checksum import add_checksum
from trials.storage.object_store import PATIENCE_SECONDS

# Of what a trial's facts hold, what is more than printed: each key with its type.
FACT_KEYS: dict[str, Any] = {
    **dict.fromkeys(
        ("device", "device_type", "host", "weights_sha256", "precision", "arithmetic"), str
    ),
    **dict.fromkeys(("precision_note", "compile_note"), str),
    **dict.fromkeys(("compiled", "arithmetic_right"), bool),
    "arithmetic_seconds": float,
    "threads": int,
    "normalised_by": tuple[Mapping[str, float] | None, ...],
    "intensities": tuple[Mapping[str, float], ...],
    "spacing_mm": tuple[float, float, float],
    "cases_prepared_again": tuple[str, ...],
    "class_counts.voxels": tuple[int, ...],
}
# Settings that range over orders of magnitude.
LOGARITHMIC = ("lr", "one_minus_beta")


def read_result(out: Path, trial: str, patience: float = PATIENCE_SECONDS) -> TrialResult:
    """The result that a trial left in its run folder; patience as for write_whole.

    Raises FileNotFoundError where there is none, ValueError naming the file and what is wrong with
    it.
    """
    path = result_path(out, trial)
    try:
        result = parse_result(read_bytes(path, patience).decode())
        if result.trial != trial:
            raise ValueError(
                f"it holds trial {result.trial}, but its folder is named for another; delete this "
                "copy"
            )
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error})") from None
    return result


def parse_result(text: str) -> TrialResult:
    """The result that a text of result_text() holds. Raises ValueError naming the key whose value
    no trial leaves, or no table and figure can show.
    """
    result = from_json(TrialResult, text)
    refuse_huge({"facts": result.facts})
    check_kinds(result.facts, FACT_KEYS)
    for name in LOGARITHMIC:
        value = result.spec.hyper.get(name, 1.0)
        if not isinstance(value, float) or value <= 0:
            raise ValueError(f"spec.hyper.{name} must be above 0; got {shown(value)}")
    return result


def write_result(out: Path, result: TrialResult) -> None:
    """Write a trial's result.json; if it exists, it is complete."""
    write_text(result_path(out, result.trial), result_text(result))


def result_text(result: TrialResult) -> str:
    """What result.json holds: the record with its checksum."""
    return add_checksum(to_json(result))


def read_results(out: Path) -> dict[str, TrialResult]:
    """Every finished trial of a run folder, by its hash. Interrupted trials count as not finished.

    So do trials with a damaged result file: a message is printed, the trial runs again and its file
    is rewritten.
    """
    return {result.trial: result for result in _finished(out)}


def has_results(out: Path) -> bool:
    """Whether any trial of a run folder is finished. Stops at the first one."""
    return next(_finished(out), None) is not None


def find_result(out: Path, trial: str) -> TrialResult | None:
    """The result of one trial; None if there is none yet, or if its checksum or its keys are wrong.

    Scores and surfaces are dropped: a large grid has a million of them and only the report uses
    them.
    """
    try:
        result = read_result(out, trial)
    except FileNotFoundError:
        return None
    except ValueError as error:
        print(f"{error}: the trial counts as not run and will run again", file=sys.stderr)
        return None
    return replace(result, scores=(), surfaces=())


def digest_of(out: Path, trial: str) -> str:
    """The SHA-256 of the weights that a finished trial wrote; "" if its result has none."""
    result = find_result(out, trial)
    return str(result.facts.get("weights_sha256", "")) if result else ""


def _finished(out: Path) -> Iterator[TrialResult]:
    results = (
        find_result(out, path.parent.name) for path in find_files(out, "trials/*/result.json")
    )
    return (result for result in results if result is not None and result.reason != "interrupted")
