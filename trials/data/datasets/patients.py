"""Which cases are scans of one patient: by a given rule, a file patients.csv, or the convention
that all names of a data set follow.
"""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from trials.data.datasets.likely_patients import likely_patients
from trials.data.datasets.registry import Dataset
from trials.records.faults import Fault, printable, set_warning, why_no_file
from trials.records.grouping import EACH_CASE, KNOWN, NO_RULE, SUSPECTED, Grouping, cases_by_patient
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
COLUMNS = ("case", "patient", "site")
# Between the cells of a CSV file: where 0.5 is written 0,5, spreadsheets write semicolons.
DELIMITERS = ",;\t"


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


def with_patients(dataset: Dataset, rule: str, own_rule: str) -> Dataset:
    """The data set with the patient of each case, and a warning where patients are only suspected,
    or where a file of patients names other cases.
    """
    grouping, faults = dataset.grouping, dataset.faults
    if rule or grouping == NO_RULE:
        names = [case.case for case in dataset.cases]
        grouping = group_cases(names, dataset.root, rule, own_rule)
        faults += unused_rows(names, dataset.root, rule, own_rule)
    faults += grouping_faults(grouping, dataset.root)
    return replace(dataset, grouping=grouping, faults=faults)


def group_cases(names: Sequence[str], root: Path, rule: str, own_rule: str) -> Grouping:
    """The patient of each case, by the first that exists: rule, root/patients.csv, the data set's
    own rule, a convention that all names follow.

    A rule is a CSV file, its path relative to root, or a regular expression. Raises ValueError
    naming the file and line, or the first case, at fault.
    """
    found = _first_rule(root, rule, own_rule)
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


def unused_rows(names: Sequence[str], root: Path, rule: str, own_rule: str) -> tuple[Fault, ...]:
    """A warning if the CSV file by which group_cases() groups these cases names others."""
    found = _first_rule(root, rule, own_rule)
    if not found.endswith(".csv"):
        return ()
    others = sorted(_read_patients(root / found)[0].keys() - set(map(_composed, names)))
    if not others:
        return ()
    number = f"{len(others)}, first " if len(others) > 1 else ""
    text = f"names cases that are not here and are not used: {number}{printable(others[0])}"
    return (set_warning(root / found, "patients", text),)


def grouping_line(grouping: Grouping, names: Sequence[str]) -> str:
    """The number of patients and the rule; "" where each case is known to be a patient."""
    if grouping.state == KNOWN and not grouping.patients:
        return ""
    return f"{len(cases_by_patient(grouping, names))} patients: {grouping.rule}"


def _first_rule(root: Path, rule: str, own_rule: str) -> str:
    """The first of the rules that exists, the name of root/patients.csv among them; "" if none
    does.
    """
    return rule or (FILE if os.path.lexists(root / FILE) else own_rule)


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
    """Patients by a CSV file, see _read_patients()."""
    patients, sites = _read_patients(path)
    keys = {name: _composed(name) for name in names}
    if missing := [name for name, key in keys.items() if key not in patients]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(
            f"{path} must name the patient of every case; it lacks {shown(missing[0])}{more}; add "
            "a line for each"
        )
    return _known(
        path.name,
        {name: patients[key] for name, key in keys.items()},
        {name: sites[key] for name, key in keys.items() if key in sites},
    )


def _read_patients(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The patient of each case, and the site where it is given, of a CSV file with the columns
    case, patient and site, in capitals or not. Raises ValueError naming the file and line at fault.
    """
    patients: dict[str, str] = {}
    sites: dict[str, str] = {}
    spellings: dict[str, str] = {}
    for line, row in _rows(path):
        case, patient, site = (_composed(row.get(column, "")) for column in COLUMNS)
        if not case or not patient or case in patients:
            raise ValueError(
                f"{path}, line {line}: each line must name a case once and its patient; "
                f"got case {shown(case)}, patient {shown(patient)}; correct it"
            )
        if (before := spellings.setdefault(patient.casefold(), patient)) != patient:
            raise ValueError(
                f"{path}, line {line}: patients must differ in more than capital letters; got "
                f"{shown(before)} and {shown(patient)}; write each patient in one way"
            )
        patients[case] = patient
        if site:
            sites[case] = site
    return patients, sites


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a CSV file that are not empty: number, and column to cell."""
    if (why := why_no_file(path)) is not None:
        raise ValueError(f"{path} {why}; it must say which patient each case is of; add it")
    try:
        text = read_foreign_text(path)
        delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)
        header = [column.strip().casefold() for column in next(lines, [])]
        if any(header.count(column) != 1 for column in COLUMNS[:2]):
            raise ValueError(
                f"the first line must name the columns case and patient; got {shown(header)}"
            )
        for cells in lines:
            if any(map(str.strip, cells)):
                yield lines.line_num, dict(zip(header, map(str.strip, cells), strict=False))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}; correct it") from None


def _composed(name: str) -> str:
    """A name in composed Unicode: some programs write an umlaut as two characters."""
    return unicodedata.normalize("NFC", name)


def _in_words(groups: dict[str, list[str]]) -> str:
    """The first groups with their first cases, and the number of the others."""
    named = [
        f"{patient} ({', '.join(cases[:NUM_NAMED])}{', ...' if len(cases) > NUM_NAMED else ''})"
        for patient, cases in groups.items()
    ]
    more = f" and {len(named) - NUM_NAMED} more" if len(named) > NUM_NAMED else ""
    return printable("; ".join(named[:NUM_NAMED]) + more)
