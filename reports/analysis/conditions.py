"""Whether all trials of a run used the same packages, code and hardware; each difference names its
trials.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from reports.formatting import listed, many
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
