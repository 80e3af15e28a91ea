"""What is known of each case besides its voxels, for the report to group patients by: KiTS23's
cohort and tumour stage.
"""

from collections.abc import Mapping
from pathlib import Path

from trials.data.datasets.registry import DATASETS, Dataset
from trials.records.codec import parsed
from trials.records.registry import Entry, pick
from trials.storage.atomic import read_text

CaseMetadata = Mapping[str, Mapping[str, str]]
CLINICAL = "kits23.json"
# Cases from here on are new in KiTS23; those below stood in KiTS19 and KiTS21
# (github.com/neheller/kits23).
FIRST_NEW = 400


def case_metadata(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Trait to case to value, such as {"cohort": {"case_00400": "new in KiTS23"}}; empty where
    nothing is known.

    Raises ValueError naming the file if what the data set brings beside its cases is damaged.
    """
    of = pick(DATASETS, "data set", dataset.name).traits
    found: CaseMetadata = Entry(of).load()(dataset) if of else {}
    return {trait: dict(values) for trait, values in found.items()}


def kits23(dataset: Dataset) -> CaseMetadata:
    """The cohort by the case's number, and the pathological T stage of those cases that
    kits23.json, if it is there, knows.
    """
    names = [case.case for case in dataset.cases]
    cohorts = {
        name: "new in KiTS23" if int(name[-5:]) >= FIRST_NEW else "from KiTS19 and KiTS21"
        for name in names
    }
    stages = _stages(dataset.root / CLINICAL)
    known = {name: stages[name] for name in names if name in stages}
    return {"cohort": cohorts} | ({"T stage": known} if known else {})


def _stages(path: Path) -> dict[str, str]:
    """Case to the stage's number without its letter: 1a and 1b are 1; a case whose stage was not
    given is left out.
    """
    if not path.is_file():
        return {}
    try:
        rows = parsed(read_text(path))
        given = {row["case_id"]: str(row["pathology_t_stage"] or "") for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: not the challenge's list of patients ({error!r}); fetch it again or delete it"
        ) from None
    return {case: f"T{stage[0]}" for case, stage in given.items() if stage[:1].isdigit()}
