"""The data entry of run.json: what is known of the data set, its splits and its cases."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bench.execution.data import UNUSED_SPLITS, Prepared, is_own_unused
from trials.data.datasets.registry import DATASETS, Dataset
from trials.data.datasets.splits import split_hash
from trials.records.faults import WARNING, Fault, bad_cases
from trials.records.registry import Entry, pick


def data_record(folds: Mapping[int, Prepared]) -> dict[str, object]:
    """The data entry of run.json; folds holds the data of each fold."""
    first, dataset = next(iter(folds.values())), next(iter(folds.values())).dataset
    splits = {
        str(fold): {name: list(getattr(one.split, name)) for name in ("train", "val", "test")}
        for fold, one in folds.items()
    }
    left_out, excluded = bad_cases(dataset.faults), dict[str, str]()
    for one in folds.values():
        excluded |= one.split.excluded
    digests = dict.fromkeys(digest for one in folds.values() for digest in one.digests.values())
    return {
        "root": str(dataset.root),
        "title": dataset.title,
        "splits": first.scheme,
        "split_rule": "; ".join(dict.fromkeys(one.split_rule for one in folds.values())),
        "classes": list(dataset.classes),
        "channels": list(dataset.channels),
        "has_ignore": dataset.has_ignore,
        "regions": [region.name for region in dataset.regions],
        "cases": len(dataset.cases),
        "published": dataset.published,
        "fold_cases": splits,
        "split_hash": {fold: split_hash(cases) for fold, cases in splits.items()},
        "data_digest": " ".join(digests),
        "fingerprint": first.fingerprint,
        "excluded": excluded | left_out,
        "bad_cases": left_out,
        "warnings": warnings_by_case(first.notes),
        "notes": set_notes(dataset, first.scheme),
        "licence": dataset.licence,
        "shows_images": pick(DATASETS, "data set", dataset.name).shows_images,
        "geometry": dict(first.geometry),
        "case_metadata": case_metadata(dataset),
        "grouping": asdict(dataset.grouping),
    }


def set_notes(dataset: Dataset, scheme: str) -> list[str]:
    """The warnings about a data set as a whole: what it names or holds and is not used. The report
    speaks of patients elsewhere.
    """
    notes = [
        f"{Path(fault.file).name}: {fault.message}"
        for fault in dataset.faults
        if fault.level == WARNING and fault.code != "patients"
    ]
    return [*notes, *([UNUSED_SPLITS] if is_own_unused(dataset, scheme) else ())]


def warnings_by_case(notes: tuple[Fault, ...]) -> dict[str, str]:
    """Case to its warnings, which name files without their folders."""
    texts_by_case: dict[str, list[str]] = {}
    for note in notes:
        if note.level == WARNING:
            text = f"{Path(note.file).name}: {note.message}"
            texts_by_case.setdefault(note.case, []).append(text)
    return {case: "; ".join(texts) for case, texts in texts_by_case.items()}


CaseMetadata = Mapping[str, Mapping[str, str]]


def case_metadata(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Trait to case to value, such as {"cohort": {"case_00400": "new in KiTS23"}}; empty if nothing
    is known. The sites of patients.csv are a trait.

    Raises ValueError naming the file if the data set's metadata file is damaged.
    """
    of = pick(DATASETS, "data set", dataset.name).case_metadata
    found: CaseMetadata = Entry(of).load()(dataset) if of else {}
    sites = {"site": dataset.grouping.sites} if dataset.grouping.sites else {}
    return {trait: dict(values) for trait, values in {**found, **sites}.items()}
