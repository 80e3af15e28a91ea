"""Splits into training, validation and test cases: the rules that DATASETS names, each a function
(dataset, fold) -> Split.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import OWN, Case, Dataset, Split, num_folds
from trials.data.nifti.voxels import count_labels, label_slabs, read_header
from trials.records.grouping import cases_by_patient, divided_patients

# From the published split: ranges of ids, ends included.
PAPER_TRAIN = ((0, 299), (400, 436))
PAPER_VAL = ((437, 506),)
PAPER_TEST = ((507, 587),)
PAPER_EXCLUDED = {"case_00588": "the paper's id ranges end at 587 and name it nowhere"}
STRATIFIED = Path(__file__).with_name("kits23_stratified.json")
NUM_GROUPS = 5


def paper(dataset: Dataset, fold: int) -> Split:
    """The id ranges of the KiTS23 paper: 337 train, 70 validation and 81 test cases of all 489; one
    is in none.
    """
    names = [case.case for case in dataset.cases]
    return Split(
        train=_in_ranges(names, PAPER_TRAIN),
        val=_in_ranges(names, PAPER_VAL),
        test=_in_ranges(names, PAPER_TEST),
        excluded={name: reason for name, reason in PAPER_EXCLUDED.items() if name in names},
    )


def stratified(dataset: Dataset, fold: int) -> Split:
    """Five groups of KiTS23 stratified by cohort, cysts, tumour size and slice thickness, fixed in
    a file beside this one.
    """
    return _rotate(read_groups(STRATIFIED), dataset, fold)


def sequential(dataset: Dataset, fold: int) -> Split:
    """By name order: the last 2/11 of the patients are for the test, the 1/11 before them for
    validation; 88 patients give 64, 8 and 16.
    """
    patients = list(patients_of(dataset).values())
    num_test, num_val = max(1, 2 * len(patients) // 11), max(1, len(patients) // 11)
    num_train = max(0, len(patients) - num_test - num_val)
    return Split(
        train=_cases_of(patients[:num_train]),
        val=_cases_of(patients[num_train : num_train + num_val]),
        test=_cases_of(patients[num_train + num_val :]),
    )


def seeded(dataset: Dataset, fold: int) -> Split:
    """Five groups of patients stratified by the classes that their cases contain, drawn by a hash
    of the names: the same cases give the same groups.

    The classes of a case come from dataset.class_voxels, or are read from the masks once per
    process.
    """
    names = [case.case for case in dataset.cases]
    return _rotate(_groups(dataset, names), dataset, fold)


def own(dataset: Dataset, fold: int) -> Split:
    """The split that a data set brings itself. Cases that it does not name are excluded.

    A fold without test cases tests on its validation cases, and a fifth of its training cases
    validates instead. Test cases without folds: group `fold` of five of the others validates.
    """
    if not dataset.own_splits:
        raise ValueError(
            f"{dataset.root} brings no splits of its own; add splits_final.json or labelsTs, or "
            "use another split"
        )
    given = dataset.own_splits[fold if fold < len(dataset.own_splits) else 0]
    here = {case.case for case in dataset.cases}
    train, val, test = (
        tuple(sorted(here.intersection(part))) for part in (given.train, given.val, given.test)
    )
    if not given.val:
        val = _groups(dataset, train)[fold]
    elif not given.test:
        val, test = _groups(dataset, train)[0], val
    named = {*given.train, *given.val, *given.test}
    return Split(
        train=tuple(case for case in train if case not in val),
        val=val,
        test=test,
        excluded=dict.fromkeys(
            sorted(here - named), f"fold {fold} of the data set's own splits does not name it"
        ),
    )


def sizes(dataset: Dataset, split: Split) -> str:
    """The number of cases in each part, and of patients where a patient has several."""
    parts = {"train": split.train, "validation": split.val, "test": split.test}
    counts = ", ".join(f"{len(cases)} {name}" for name, cases in parts.items())
    if not dataset.grouping.patients:
        return counts
    train, val, test = (len(cases_by_patient(dataset.grouping, cases)) for cases in parts.values())
    return f"{counts} (of {train}, {val} and {test} patients)"


def refuse_shared_tests(dataset: Dataset, splits: str, folds: Mapping[int, Split]) -> None:
    """Raise ValueError if a patient is in the test part of two folds: its out-of-fold predictions
    would count twice.
    """
    parts = {str(fold): split.test for fold, split in folds.items()}
    for patient, cases in divided_patients(dataset.grouping, parts).items():
        (one, case), (other, _), *_ = cases.items()
        raise ValueError(
            f"{dataset.name} split {splits!r} must test each patient in one fold; folds {one} and "
            f"{other} both test {patient} ({case}); name one fold, and several seeds instead"
        )


def explain(dataset: Dataset, scheme: str, fold: int) -> str:
    """One sentence on where the parts of a split come from."""
    if scheme != OWN:
        return f"drawn by the rule {scheme!r}, fold {fold} of {num_folds(dataset, scheme)}"
    given = dataset.own_splits[fold if fold < len(dataset.own_splits) else 0]
    if not given.val:
        return f"test is the data set's own; validation is group {fold} of five of the other cases"
    folds = f"fold {fold} of the data set's own {len(dataset.own_splits)}"
    if given.test:
        return f"{folds}: its train and val, and the data set's own test cases"
    return f"{folds}: its val is the test part, and a fifth of its train validates"


def _groups(dataset: Dataset, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Five groups of the patients of these cases, stratified by the classes that each has."""
    part = replace(dataset, cases=tuple(case for case in dataset.cases if case.case in set(names)))
    return deal_patients(part, _present(part, names), NUM_GROUPS)


def _present(dataset: Dataset, names: Sequence[str]) -> dict[str, tuple[bool, ...]]:
    """Case to whether each class occurs in it."""
    if dataset.class_voxels is not None:
        return {name: tuple(count > 0 for count in dataset.class_voxels[name]) for name in names}
    cases = {case.case: case for case in dataset.cases}
    return {name: present_classes(cases[name], dataset.labels) for name in names}


def patients_of(dataset: Dataset) -> dict[str, list[str]]:
    """The cases of each patient of a data set, in the order of names."""
    return cases_by_patient(dataset.grouping, [case.case for case in dataset.cases])


def deal_patients(
    dataset: Dataset, present: Mapping[str, tuple[bool, ...]], num_groups: int
) -> tuple[tuple[str, ...], ...]:
    """Deal patients into groups of cases that differ by at most one patient in size and in each
    stratum. A patient has a class if any of its cases has it.

    A patient is drawn by the hash of its first case, so how patients are named changes nothing.
    """
    cases_of = {cases[0]: cases for cases in patients_of(dataset).values()}
    strata = {
        first: tuple(any(of) for of in zip(*(present[case] for case in cases), strict=True))
        for first, cases in cases_of.items()
    }
    return tuple(
        _cases_of([cases_of[first] for first in group]) for group in deal(strata, num_groups)
    )


@functools.cache
def present_classes(case: Case, labels: LabelSet) -> tuple[bool, ...]:
    """Whether each class occurs in a case's mask. Raises ValueError naming the file for any fault
    in it.
    """
    return tuple(count > 0 for count in class_voxels(case, labels))


def class_voxels(case: Case, labels: LabelSet) -> tuple[int, ...]:
    """The voxels of each class in a case's mask, on its native grid. Raises ValueError as
    present_classes() does.
    """
    counts = np.zeros(labels.num_labels, np.int64)
    for slab in label_slabs(read_header(case.labels), labels.num_labels):
        counts += count_labels(slab, labels.num_labels)
    return tuple(counts[: len(labels.classes)].tolist())


def deal(strata: Mapping[str, tuple[Any, ...]], num_groups: int) -> tuple[tuple[str, ...], ...]:
    """Deal cases into groups that differ by at most one case in size and in each stratum.

    Cases are sorted by stratum, then by the SHA-256 of their name, and dealt in turn without
    restarting at each stratum, so cases that share a leading part of the stratum are spread evenly
    too.
    """
    order = sorted(
        strata, key=lambda case: (strata[case], hashlib.sha256(case.encode()).hexdigest())
    )
    return tuple(tuple(sorted(order[group::num_groups])) for group in range(num_groups))


def read_groups(path: Path) -> tuple[tuple[str, ...], ...]:
    """Groups of case names from a JSON file with their digest. Raises ValueError if they were
    altered.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["sha256"] != groups_digest(content["groups"]):
        raise ValueError(
            f"{path}: the groups do not match their digest; restore the file from the project"
        )
    return tuple(tuple(group) for group in content["groups"])


def groups_digest(groups: Iterable[Iterable[str]]) -> str:
    """SHA-256 of the groups: names joined by spaces, one line a group."""
    return hashlib.sha256("\n".join(" ".join(group) for group in groups).encode()).hexdigest()


def _rotate(groups: tuple[tuple[str, ...], ...], dataset: Dataset, fold: int) -> Split:
    """Group `fold` is the test set, the next one validation, the others train; cases that the data
    set lacks are omitted.
    """
    here = {case.case for case in dataset.cases}
    test, val = groups[fold], groups[(fold + 1) % len(groups)]
    train = sorted(here.difference(test, val))
    return Split(
        train=tuple(train),
        val=tuple(c for c in val if c in here),
        test=tuple(c for c in test if c in here),
    )


def _cases_of(patients: list[list[str]]) -> tuple[str, ...]:
    """The cases of some patients, sorted."""
    return tuple(sorted(case for cases in patients for case in cases))


def _in_ranges(names: list[str], ranges: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    return tuple(
        name for name in names if any(low <= int(name[-5:]) <= high for low, high in ranges)
    )


def split_hash(splits: Mapping[str, Any]) -> str:
    """A short hash that identifies a split."""
    return hashlib.sha256(json.dumps(splits, sort_keys=True).encode()).hexdigest()[:16]
