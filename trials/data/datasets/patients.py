"""Which cases are scans of one patient: by a given rule, a file patients.csv, or the convention
that all names of a data set follow.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from trials.data.datasets.likely_patients import likely_patients
from trials.records.faults import Fault, printable, set_warning, why_no_file
from trials.records.grouping import (
    EACH_CASE,
    KNOWN,
    NO_RULE,
    SUSPECTED,
    Grouping,
    cases_by_patient,
)
from trials.records.record import shown
from trials.storage.foreign_text import read_foreign_text

# A file of this name in a data set's folder says which patient each case is of.
FILE = "patients.csv"
# Conventions of names, each with an expression whose first group is the patient. One applies if all
# cases follow it.
CONVENTIONS = {
    "ACDC, as in patient001_frame01": r"(patient\d+)_frame\d+",
    "BIDS, as in sub-01_ses-02": r"(sub-[A-Za-z0-9]+)(?:_.+)?",
    "BraTS 2023, as in BraTS-GLI-00005-001": r"(BraTS-[A-Za-z]+-\d{5})-\d{3}",
    "time points, as in case07_t2": r"(.*\d.*)_[tT]\d{1,2}",
}
NUM_NAMED = 3


def checked_rule(rule: str) -> str:
    """Return a rule of Grid.patients. Raises ValueError if it is neither a CSV file nor a regular
    expression.
    """
    if not rule.endswith(".csv"):
        try:
            re.compile(rule)
        except re.error as error:
            raise ValueError(
                f"must be a CSV file or a regular expression; got {rule!r} ({error}); correct it"
            ) from None
    return rule


def group_cases(names: Sequence[str], root: Path, rule: str, own_rule: str) -> Grouping:
    """The patient of each case, by the first that exists: rule, root/patients.csv, the data set's
    own rule, a convention that all names follow.

    A rule is a CSV file, its path relative to root, or a regular expression. Raises ValueError
    naming the file and line, or the first case, at fault.
    """
    for found in (rule, FILE if why_no_file(root / FILE) is None else "", own_rule):
        if found.endswith(".csv"):
            return _by_file(names, root / found)
        if found:
            return _by_expression(names, found)
    for convention, expression in CONVENTIONS.items():
        if names and all(re.fullmatch(expression, name) for name in names):
            patients = {name: re.fullmatch(expression, name)[1] for name in names}  # type: ignore[index]
            if len(set(patients.values())) > 1:
                return _known(f"the names of {convention}", patients)
    if likely := likely_patients(names):
        return Grouping(rule=NO_RULE.rule, state=SUSPECTED, likely=_in_words(likely))
    return NO_RULE


def grouping_faults(grouping: Grouping, root: Path) -> tuple[Fault, ...]:
    """A warning that names the likely patients if the names of cases suggest several scans of
    one.
    """
    if grouping.state != SUSPECTED:
        return ()
    message = (
        f"the names suggest several scans of a patient: {grouping.likely}; each case counts as a "
        "patient, so a patient may be in two splits"
    )
    fix = (
        f"add {FILE} with the columns case and patient to this folder, or set patients in the "
        f"grid; {EACH_CASE!r} says that each case is a patient"
    )
    return (set_warning(root, "patients", message, fix),)


def grouping_line(grouping: Grouping, names: Sequence[str]) -> str:
    """The number of patients and the rule; "" where each case is known to be a patient."""
    if grouping.state == KNOWN and not grouping.patients:
        return ""
    return f"{len(cases_by_patient(grouping, names))} patients: {grouping.rule}"


def _known(rule: str, patients: dict[str, str], sites: dict[str, str] | None = None) -> Grouping:
    """A grouping by a rule; patients stays empty if each is named as its only case."""
    named = patients if any(case != patient for case, patient in patients.items()) else {}
    return Grouping(rule=rule, state=KNOWN, patients=named, sites=sites or {})


def _by_expression(names: Sequence[str], expression: str) -> Grouping:
    """Patients by the first group of an expression, or by all that it matches."""
    if expression == EACH_CASE:
        return _known("each case is a patient", {})
    patients = {}
    for name in names:
        found = re.match(expression, name)
        patient = (found[1] if found.re.groups else found[0]) if found else None
        if not patient:
            raise ValueError(
                f"patients={expression!r} must match the name of every case; {shown(name)} does "
                "not match; correct the expression"
            )
        patients[name] = patient
    return _known(f"the regular expression {expression}", patients)


def _by_file(names: Sequence[str], path: Path) -> Grouping:
    """Patients by a CSV file with the columns case and patient, and site if it is there."""
    if (why := why_no_file(path)) is not None:
        raise ValueError(f"{path} {why}; it must say which patient each case is of; add it")
    patients: dict[str, str] = {}
    sites: dict[str, str] = {}
    rows = csv.DictReader(read_foreign_text(path).splitlines())
    if not {"case", "patient"} <= set(rows.fieldnames or ()):
        raise ValueError(
            f"{path}: the first line must name the columns case and patient; got "
            f"{shown(rows.fieldnames)}; add it"
        )
    for row in rows:
        case, patient, site = ((row.get(key) or "").strip() for key in ("case", "patient", "site"))
        if not case or not patient or case in patients:
            raise ValueError(
                f"{path}, line {rows.line_num}: each line must name a case once and its patient; "
                f"got case {shown(case)}, patient {shown(patient)}; correct it"
            )
        patients[case] = patient
        if site:
            sites[case] = site
    if missing := [name for name in names if name not in patients]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(
            f"{path} must name the patient of every case; it lacks {shown(missing[0])}{more}; add "
            "a line for each"
        )
    here = set(names)
    return _known(
        path.name,
        {case: patient for case, patient in patients.items() if case in here},
        {case: site for case, site in sites.items() if case in here},
    )


def _in_words(groups: dict[str, list[str]]) -> str:
    """The first groups with their first cases, and the number of the others."""
    named = [
        f"{patient} ({', '.join(cases[:NUM_NAMED])}{', ...' if len(cases) > NUM_NAMED else ''})"
        for patient, cases in groups.items()
    ]
    more = f" and {len(named) - NUM_NAMED} more" if len(named) > NUM_NAMED else ""
    return printable("; ".join(named[:NUM_NAMED]) + more)
