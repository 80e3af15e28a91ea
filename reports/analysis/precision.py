"""The precision in which the trials trained, and whether low precision was compared with float32
first.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from reports.elements import Check
from reports.formatting import cell_name, listed, many
from reports.load.run_folder import Run
from trials.records.result import TrialResult

FLOAT32 = "float32"
NAMED = 8


def precision_check(run: Run) -> Check:
    """Passes if every trial in low precision was compared with float32, or none used low precision;
    otherwise it names them.

    Unknown if no trial recorded its precision.
    """
    trained = [result for result in run.results if "precision" in result.facts]
    unchecked = [
        result
        for result in trained
        if result.facts["precision"] != FLOAT32 and not is_checked(result)
    ]
    parts = [*_by_precision(trained), *_notes(trained)]
    if unchecked:
        parts.append(f"not compared with float32: {_named(unchecked)}")
    return Check(
        "Every configuration trained in float32, or its precision was compared with float32",
        not unchecked if trained else None,
        "; ".join(parts) or "no trial recorded its precision",
    )


def is_checked(result: TrialResult) -> bool:
    """Whether a trial's low precision was compared with float32 and agreed."""
    return result.facts.get("arithmetic_right") is True


def _by_precision(trained: Sequence[TrialResult]) -> Iterator[str]:
    """One part per precision: how many trials, of which models, and the largest error found."""
    groups: dict[str, list[TrialResult]] = defaultdict(list)
    for result in trained:
        groups[str(result.facts["precision"])].append(result)
    for precision, results in sorted(groups.items()):
        models = listed(sorted({result.spec.cell.model for result in results}))
        checks = sorted(
            {f"{r.spec.cell.model}: {r.facts['arithmetic']}" for r in results if is_checked(r)}
        )
        compared = f", compared with float32 ({listed(checks)})" if checks else ""
        yield f"{precision} in {many(len(results), 'trial')} of {models}{compared}"


def _notes(trained: Sequence[TrialResult]) -> list[str]:
    return sorted(
        {
            str(result.facts["precision_note"])
            for result in trained
            if "precision_note" in result.facts
        }
    )


def _named(results: Sequence[TrialResult]) -> str:
    names = sorted({cell_name(result.spec.cell) for result in results})
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return listed(names[:NAMED] + more)
