"""Names of cases that look like several scans of a patient. A guess, for a warning only: no split
and no number depends on it.
"""

import re
from collections.abc import Sequence

# What tells the scans of a patient apart, in the middle or at the end of a name: a word, a word
# with a number, a date; at the end also a letter behind a number.
WORD = (
    "pre|post|before|after|prior|current|baseline|bl|follow_?up|fu|left|right|rest|stress|ed|es|"
    "first|second|early|late"
)
NUMBERED = (
    "ses|session|visit|tp|time|timepoint|scan|frame|fr|phase|exam|study|series|acq|run|rep|echo|"
    "day|week|month|year|[tvsdwmy]"
)
DATE = r"(?:19|20)\d{2}[_.-]?\d{2}[_.-]?\d{2}|\d{2}-\d{2}-(?:19|20)\d{2}"
SCAN = re.compile(
    rf"[_.-](?:(?:{WORD})\d{{0,2}}|(?:{NUMBERED})[_.-]?\d{{1,4}}|{DATE})(?=$|[_.-])"
    r"|(?<=\d)[_.-]?[a-dlr]$",
    re.IGNORECASE,
)
# A number at the end of a name that has another number before.
COUNTER = re.compile(r"(?<=\d)[_.-]?[A-Za-z]*[_.-]?(?<!\d)\d{1,8}$")
# At the end of a stem: a site or a part of the data set, whose cases are counted.
NO_PATIENT = re.compile(
    r"(site|cent(er|re)|hosp|inst|batch|fold|set|cohort|group|scanner|train|val|test|20\d\d)"
    r"[^_.-]*$",
    re.IGNORECASE,
)
# A counter of so many digits, on few stems, counts cases and not a patient's scans.
LONG_COUNTER = 3


def likely_patients(names: Sequence[str]) -> dict[str, list[str]]:
    """Likely patients with two or more cases each, by what their names share; empty if the names
    suggest one case a patient.

    case_00001 and BraTS20_Training_001 suggest nothing: what hundreds of cases share is the name
    of the data set.
    """
    for mark in (SCAN, COUNTER):
        stems: dict[str, list[str]] = {}
        for name in names:
            stems.setdefault(mark.sub("", name), []).append(name)
        likely = {
            stem: cases
            for stem, cases in stems.items()
            if len(cases) > 1 and len(stems) > 1 and _is_patient(stem, cases, len(stems))
        }
        if likely:
            return likely
    return {}


def _is_patient(stem: str, cases: list[str], num_stems: int) -> bool:
    """Whether a stem that cases share looks like a patient: there are more stems than cases of
    one, or it has a number and its cases a short counter.
    """
    if NO_PATIENT.search(stem):
        return False
    if len(cases) <= num_stems:
        return True
    counter = re.search(r"\d+$", cases[0])
    is_short = counter is None or len(counter[0]) < LONG_COUNTER
    return is_short and bool(re.search(r"\d", stem))
