"""Which patient each case is of, and how that is known: part of run.json, read by the report.

Standard library only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

# The rule that each case is a patient.
EACH_CASE = "(.+)"
# By a rule; no rule, and nothing speaks against one case a patient; no rule, and the names of cases
# suggest several scans of a patient.
State = Literal["known", "assumed", "suspected"]
KNOWN: State = "known"
ASSUMED: State = "assumed"
SUSPECTED: State = "suspected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The patient of each case, by a rule in words. A case that patients lacks is a patient of its
    own.

    state is KNOWN, ASSUMED or SUSPECTED; likely names the suspected patients. sites holds the site
    of each case, if a file gave them.
    """

    rule: str
    state: State
    patients: Mapping[str, str] = field(default_factory=dict)
    sites: Mapping[str, str] = field(default_factory=dict)
    likely: str = ""


# Of a run whose record does not hold a grouping.
NOT_RECORDED = Grouping(
    rule="the run did not record patients; each case counts as a patient", state=SUSPECTED
)
NO_RULE = Grouping(rule="no rule is given; each case counts as a patient", state=ASSUMED)


def cases_by_patient(grouping: Grouping, cases: Iterable[str]) -> dict[str, list[str]]:
    """The cases of each patient, both in the order of the cases given."""
    found: dict[str, list[str]] = {}
    for case in cases:
        found.setdefault(grouping.patients.get(case, case), []).append(case)
    return found


def divided_patients(
    grouping: Grouping, parts: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, str]]:
    """Patients with cases in two parts: by patient, a case in each of its parts."""
    found: dict[str, dict[str, str]] = {}
    for part, cases in parts.items():
        for case in cases:
            found.setdefault(grouping.patients.get(case, case), {}).setdefault(part, case)
    return {patient: of for patient, of in found.items() if len(of) > 1}
