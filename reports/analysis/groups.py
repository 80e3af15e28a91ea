"""Dice of the selected configuration in groups of patients: by slice thickness, and by the case
metadata of the run (cohort, stage).
"""

from collections.abc import Mapping

import numpy as np

from reports.analysis.context import Context
from reports.analysis.patients import counted_cases, held_labels, patient_dice
from reports.analysis.summary import MEAN
from reports.elements import Column, Table, TableCell
from reports.formatting import cell_name, interval, listed, number
from reports.load.counts import Counts
from reports.stats.intervals import case_weights, nan_mean, resample, student_interval
from trials.records.result import NATIVE

# Upper bounds of slice thickness in mm, with their text: in KiTS23 many cases have 5 mm.
THICKNESS = ((2.0, "below 2 mm"), (5.0, "2 mm to below 5 mm"), (float("inf"), "5 mm and more"))
UNKNOWN, MIXED = "not recorded", "differs between scans"


def groups_table(context: Context, shown: int) -> Table | None:
    """One row per group of test patients, one column per class; None for a run without case
    metadata.
    """
    traits = _traits(context)
    if not traits:
        return None
    labels = [MEAN, *held_labels(context.test[NATIVE])]
    rows, spans = [], []
    for trait, values in traits.items():
        found = {
            group: _scores(context, shown, labels, group, values)
            for group in _order(set(group_of_patients(context.test[NATIVE], values).values()))
        }
        rows += [(TableCell(trait), TableCell(group), *scores) for group, scores in found.items()]
        spans.append(_span(trait, found))
    whole = Column("patient's mean", True, "over the classes that the patient's reference has")
    columns = (
        Column("grouped by"),
        Column("patients"),
        whole,
        *(Column(context.run.classes[label], True) for label in labels[1:]),
    )
    caption = (
        f"{cell_name(context.run.cells[shown])} by group of patients. Mean Dice of a patient: "
        f"{listed(spans)}. 95 % intervals over patients only, averaged over seeds, native grid. "
        "The groups also differ in other ways, so a difference does not show a cause."
    )
    return Table(id="size-groups", caption=caption, columns=columns, rows=tuple(rows))


def _traits(context: Context) -> dict[str, dict[str, str]]:
    """The group of each test case, by trait."""
    data, cases = context.run.record.get("data") or {}, context.test[NATIVE].cases
    geometry: Mapping[str, Mapping[str, list[float]]] = data.get("geometry") or {}
    traits: dict[str, dict[str, str]] = {}
    if any(case in geometry for case in cases):
        traits["slice thickness"] = {case: _thickness(geometry.get(case)) for case in cases}
    for trait, values in sorted((data.get("case_metadata") or {}).items()):
        if any(case in values for case in cases):
            traits[trait] = {case: str(values.get(case, UNKNOWN)) for case in cases}
    return traits


def group_of_patients(counts: Counts, values: Mapping[str, str]) -> dict[str, str]:
    """The group of each patient: that of its cases, MIXED if they are in several."""
    names = counts.patient_of or counts.cases
    groups: dict[str, str] = {}
    for patient, case in zip(names, counts.cases, strict=True):
        first = groups.setdefault(patient, values[case])
        groups[patient] = first if first == values[case] else MIXED
    return groups


def _thickness(grid: Mapping[str, list[float]] | None) -> str:
    return (
        UNKNOWN
        if grid is None
        else next(words for bound, words in THICKNESS if grid["spacing_mm"][0] < bound)
    )


def _order(groups: set[str]) -> list[str]:
    """Thickness from thin to thick, other groups by name, 'not recorded' last."""
    thin_first = [words for _, words in THICKNESS]
    return sorted(
        groups,
        key=lambda group: (
            group in (UNKNOWN, MIXED),
            thin_first.index(group) if group in thin_first else 0,
            group,
        ),
    )


def _scores(
    context: Context, shown: int, labels: list[int], group: str, values: Mapping[str, str]
) -> list[TableCell]:
    """The group's mean for every label, with its interval and number of patients."""
    counts, groups = context.test[NATIVE], group_of_patients(context.test[NATIVE], values)
    scores = []
    for label in labels:
        inside = [groups[counts.patients[n]] == group for n in counted_cases(counts, label)]
        dice = nan_mean(patient_dice(counts, label)[[shown]][:, :, inside], 1)[:, None]
        mean, low, high = _mean(dice)
        small = f"{interval(low, high)} n = {dice.shape[2]}".strip()
        scores.append(
            TableCell(number(mean), mean, small=small, look="" if dice.shape[2] else "quiet")
        )
    return scores


def _mean(dice: np.ndarray) -> tuple[float, float, float]:
    """Mean of [1, 1, N] with its interval; NaN without a patient, and no interval with one
    patient.
    """
    num = dice.shape[2]
    mean = float(dice.mean()) if num else float("nan")
    if num < 2:
        return mean, float("nan"), float("nan")
    draws = resample(dice, case_weights(num))
    low, high = student_interval(np.array([mean]), draws, np.zeros_like(draws), (num - 1, 0))
    return mean, float(np.clip(low[0], 0, 1)), float(np.clip(high[0], 0, 1))


def _span(trait: str, found: Mapping[str, list[TableCell]]) -> str:
    """'by cohort from 0.61 (old) to 0.72 (new)'; another text if there is one group."""
    means = {
        group: float(scores[0].sort or 0)
        for group, scores in found.items()
        if scores[0].text != "n/a"
    }
    low, high = (
        min(means, key=lambda group: means[group]),
        max(means, key=lambda group: means[group]),
    )
    if low == high:
        return f"all patients have {trait} '{low}'"
    return f"by {trait} from {number(means[low], 2)} ({low}) to {number(means[high], 2)} ({high})"
