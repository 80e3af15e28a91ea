"""phantoms.json: the record of a folder of phantoms, written before the first case and again after
the last.
"""

from dataclasses import dataclass
from pathlib import Path

from trials.records.codec import read_record, to_json
from trials.records.faults import why_no_file
from trials.records.record import shown
from trials.storage.atomic import write_text

RECORD = "phantoms.json"
# Case numbers have five digits.
MAX_CASES = 100_000
FIX_DAMAGED = "if this folder holds only phantoms, delete it, and it is generated again"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomsRecord:
    """The phantoms of a folder: patients 0 to num_cases - 1 of a seed. Some may be missing until
    complete is True.
    """

    num_cases: int
    seed: int
    version: int
    complete: bool = True


def read_phantoms_record(root: Path) -> PhantomsRecord | None:
    """The content of phantoms.json; None if there is none. Raises ValueError if it is damaged."""
    path = root / RECORD
    if why_no_file(path) is not None:
        return None
    written = read_record(PhantomsRecord, path, FIX_DAMAGED)
    if not 0 <= written.num_cases <= MAX_CASES:
        raise ValueError(
            f"{path}: num_cases must lie in 0..{MAX_CASES}; got {shown(written.num_cases)}; "
            f"{FIX_DAMAGED}"
        )
    return written


def write_phantoms_record(root: Path, written: PhantomsRecord) -> None:
    """Write phantoms.json."""
    write_text(root / RECORD, to_json(written) + "\n")
