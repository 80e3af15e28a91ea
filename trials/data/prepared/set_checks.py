"""Every fault of a data set at once: names and layout, every file of every case, and one image
under two names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trials.data.datasets.registry import OWN, Case, Dataset, num_folds, split_cases
from trials.data.prepared.case_checks import Examined, Rules, examine_case, rules_of
from trials.data.prepared.case_store import Store, content_hash, open_folder, verdict
from trials.data.prepared.set_summary import CaseLook, look_at_case, usable_part
from trials.process.workers import try_on_cases
from trials.records.faults import (
    BAD_CASE,
    FATAL,
    WARNING,
    Fault,
    FaultyData,
    FileFault,
    bad_cases,
    printable,
    refuse,
    set_warning,
)
from trials.records.spec import Cube

# Entry of every verdict's key: raise it when a rule changes.
FORMAT = 3

OnCase = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCheck:
    """All faults and warnings of a data set, in the order of cases, and a look at each case that
    can be used.
    """

    faults: tuple[Fault, ...]
    looks: Mapping[str, CaseLook]


def check_dataset(
    dataset: Dataset, workers: int | None = None, on_case: OnCase = lambda: None
) -> DatasetCheck:
    """Read every file of every case to its end."""
    work = partial(_check_case, rules_of(dataset))
    found, failed = try_on_cases(dataset.cases, work, workers, on_case)
    looks = {case: look for case, (_, look) in found.items() if look}
    images = {case.case: case.image for case in dataset.cases}
    faults = [
        *dataset.faults,
        *failed,
        *(fault for examined, _ in found.values() for fault in examined.faults),
        *twins({case: (images[case], examined.voxels) for case, (examined, _) in found.items()}),
        *twin_masks(dataset, {case: examined.mask for case, (examined, _) in found.items()}),
        *empty_classes(dataset, looks.values()),
        *split_faults(dataset, looks),
    ]
    return DatasetCheck(
        faults=tuple(sorted(faults, key=lambda fault: (fault.case, fault.file))), looks=looks
    )


def empty_classes(dataset: Dataset, looks: Collection[CaseLook]) -> list[Fault]:
    """A warning for each class that none of the cases holds."""
    return [
        set_warning(
            dataset.root,
            "empty_class",
            f"no case holds label {label}, {printable(name)}; nothing can be learned of it, and "
            "it has no score",
            "remove the class if it is not used",
        )
        for label, name in enumerate(dataset.classes)
        if looks and not any(look.present[label] for look in looks)
    ]


def split_faults(dataset: Dataset, looks: Mapping[str, CaseLook]) -> list[Fault]:
    """Why the first fold that the data set brings itself and that cannot be used cannot be."""
    if not dataset.own_splits or not looks:
        return []
    sound, root = usable_part(dataset, looks), str(dataset.root)
    for fold in range(num_folds(dataset, OWN)):
        try:
            split_cases(sound, OWN, fold)
        except ValueError as error:
            text, _, fix = str(error).rpartition("; ")
            return [Fault(case="", file=root, code="splits", message=text, fix=fix, level=FATAL)]
    return []


def _check_case(rules: Rules, case: Case) -> tuple[Examined, CaseLook | None]:
    """What is wrong with a case, and a look at it if it can be used."""
    examined = examine_case(rules, case)
    is_sound = all(fault.level == WARNING for fault in examined.faults)
    return examined, look_at_case(case, rules.labels) if is_sound else None


def without_bad_cases(
    dataset: Dataset, cache_root: Path, workers: int | None = None, on_case: OnCase = lambda: None
) -> Dataset:
    """The data set without the cases that cannot be used; its faults name them, and bad_cases() of
    these tells why.

    What was found is remembered below cache_root with the digests of the files. Raises FaultyData
    for what no case can be left out for, and ValueError where no case is sound.
    """
    rules = rules_of(dataset)
    key = content_hash([FORMAT, rules.classes, rules.channels, rules.has_ignore], 12)
    store = Store(
        folder=cache_root / f"{dataset.name}-checked-{key}", preparation=Cube(), rules=rules
    )
    open_folder(store.folder)
    found, failed = try_on_cases(dataset.cases, partial(verdict, store), workers, on_case)
    faults = (*dataset.faults, *failed, *(fault for one in found.values() for fault in one.faults))
    refuse(dataset.root, [fault for fault in faults if fault.level == FATAL])
    left_out = bad_cases(faults)
    sound = tuple(case for case in dataset.cases if case.case not in left_out)
    if not sound:
        raise FaultyData(
            f"{dataset.root} holds no sound case",
            [fault for fault in faults if fault.level == BAD_CASE],
        )
    return replace(dataset, cases=sound, faults=faults)


def all_faults(
    cases: Sequence[Case], rules: Rules, failed: Sequence[Fault], workers: int | None
) -> list[Fault]:
    """What stopped some cases, with everything else that is wrong in them: one that names a fault
    may hide another.
    """
    names = {fault.case for fault in failed}
    again = [case for case in cases if case.case in names]
    found, _ = try_on_cases(again, partial(examine_case, rules), workers, lambda: None)
    refused = [
        fault for examined in found.values() for fault in examined.faults if fault.level == BAD_CASE
    ]
    told = {fault.case for fault in refused}
    return sorted(
        [*refused, *(fault for fault in failed if fault.case not in told)],
        key=lambda fault: fault.case,
    )


def twin_masks(dataset: Dataset, masks: Mapping[str, str]) -> list[Fault]:
    """A warning for every case that has the mask of another patient's case before it: contrasts of
    one scan share a mask. masks maps a case to the fingerprint of its labels, "" for none.
    """
    patient_of = dataset.grouping.patients
    first: dict[str, str] = {}
    faults = []
    for case in dataset.cases:
        if not (mask := masks.get(case.case)):
            continue
        before = first.setdefault(mask, case.case)
        if patient_of.get(before, before) != patient_of.get(case.case, case.case):
            text = f"holds the labels of the mask of {before}, voxel for voxel"
            fix = "look whether both are of one patient, or a mask was copied"
            fault = FileFault(case.labels, "twin_mask", text, fix, WARNING)
            faults.append(fault.of_case(case.case))
    return faults


def twins(images: dict[str, tuple[Path, str]]) -> list[Fault]:
    """A fault for every case that has the image of one before it; images maps a case to its file
    and the fingerprint of its voxels, "" if they cannot be read: that is a fault of its own.
    """
    first: dict[str, str] = {}
    faults = []
    for case, (path, voxels) in images.items():
        if voxels and (before := first.setdefault(voxels, case)) != case:
            text = (
                f"holds the voxels of the image of {before}: one patient in two splits would be a "
                "leak"
            )
            faults.append(
                Fault(
                    case=case,
                    file=str(path),
                    code="twin",
                    message=text,
                    fix="remove one of the two",
                    level=FATAL,
                )
            )
    return faults
