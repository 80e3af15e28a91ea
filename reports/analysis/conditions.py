"""Whether all trials of a run used the same packages, code and hardware, and in which precision
they trained; each difference names its trials.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from reports.elements import Check
from reports.formatting import cell_name, listed, many
from reports.load.run_folder import Run
from trials.records.result import TrialResult
from trials.records.spec import PRETRAIN

FACTS = {
    "device": "device",
    "threads": "threads",
    "precision": "precision",
    "cpu_capability": "processor instructions",
}
NAMED = 8
PARTS = ("model", "loss", "sampling")
OWN = "segbench"
# The value of a part that a trial took from segbench, not from its grid file.
BUILT_IN = "segbench's own"


def differences(run: Run) -> tuple[str, ...]:
    """One line per difference between trials, see code_differences and machine_differences."""
    return tuple(sorted((*code_differences(run), *machine_differences(run))))


def machine_differences(run: Run) -> tuple[str, ...]:
    """One line per package or machine fact that differs between trials; it names the trials of the
    rarer values.
    """
    return _differing(
        (result.trial, *pair) for result in run.results for pair in _conditions(result)
    )


def code_differences(run: Run) -> tuple[str, ...]:
    """One line if the commit, the training code or a part of the grid file differs between the
    trials that use it.

    If the trials agree, they are compared with what the run's grid would run now.
    """
    found = _differing((result.trial, *pair) for result in run.results for pair in _code(result))
    return found or tuple(_stale(run))


def without_code(run: Run) -> list[str]:
    """The trials that did not record which code they ran."""
    return [result.trial for result in run.results if not result.code]


def code_in_words(run: Run) -> str:
    """The code that the trials recorded: the commit, the version of segbench and the parts of a
    grid file.
    """
    found = {f"commit {result.commit}" for result in run.results if result.commit}
    found |= {f"{part} {digest}" for result in run.results for part, digest in result.code.items()}
    return listed(sorted(found))


def _stale(run: Run) -> Iterator[str]:
    """What differs between the trials and run.json, which records the code of the grid on this
    page.
    """
    now = run.record.get("code")
    if not now:
        return
    models = {cell.model for cell in run.cells}
    shown = [result for result in run.results if result.code and result.spec.cell.model in models]
    known = {(what, value) for result in shown for what, value in _code(result) if what != "commit"}
    for what, value in sorted(known):
        if value != now.get(what, BUILT_IN):
            yield (
                f"{what}: {value} in the trials; {now.get(what, BUILT_IN)} in the grid of this page"
            )


def _code(result: TrialResult) -> Iterator[tuple[str, str]]:
    if result.commit:
        yield "commit", result.commit[:10]
    if not result.code:
        return
    yield OWN, result.code.get(OWN, "")
    for kind in PARTS if result.spec.phase != PRETRAIN else PARTS[:1]:
        part = f"{kind} {getattr(result.spec.cell, kind)}"
        yield part, result.code.get(part, BUILT_IN)


def _differing(conditions: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """One line per condition with several values, from (trial, condition, value)."""
    groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for trial, what, value in conditions:
        groups[what][value].append(trial)
    return tuple(_line(what, values) for what, values in sorted(groups.items()) if len(values) > 1)


def _conditions(result: TrialResult) -> Iterator[tuple[str, str]]:
    yield from result.versions.items()
    for name, words in FACTS.items():
        if name in result.facts:
            yield words, str(result.facts[name])


def _line(what: str, values: dict[str, list[str]]) -> str:
    usual, *others = sorted(values, key=lambda value: (-len(values[value]), value))
    parts = [f"{usual} in {many(len(values[usual]), 'trial')}"]
    for value in others:
        trials = values[value]
        more = [f"{len(trials) - NAMED} more"] if len(trials) > NAMED else []
        parts.append(f"{value} in {listed(trials[:NAMED] + more)}")
    return f"{what}: {'; '.join(parts)}"


FLOAT32 = "float32"


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
