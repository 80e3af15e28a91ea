"""Whether all trials of a run were made alike: by the same packages, code and hardware; what differs, with its trials."""

from collections import defaultdict
from collections.abc import Iterator

from reports.run_folder import Run
from reports.wording import listed, many
from trials.result import TrialResult

FACTS = {"device": "device", "threads": "threads", "precision": "precision", "cpu_capability": "processor instructions"}
NAMED = 8


def differences(run: Run) -> tuple[str, ...]:
    """A line a package, the commit or a fact of the machine that was not the same in all trials; the fewer are named."""
    groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for result in run.results:
        for what, value in _conditions(result):
            groups[what][value].append(result.trial)
    return tuple(_line(what, values) for what, values in sorted(groups.items()) if len(values) > 1)


def _conditions(result: TrialResult) -> Iterator[tuple[str, str]]:
    yield from result.versions.items()
    if result.commit:
        yield "commit", result.commit[:10]
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
