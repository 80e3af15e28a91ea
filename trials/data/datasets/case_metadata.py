"""Metadata of cases by which the report groups patients."""

from collections.abc import Mapping

from trials.data.datasets.registry import DATASETS, Dataset
from trials.records.registry import Entry, pick

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
