"""phantoms.json: what a folder of phantoms says of itself. It is written before the first case, and
again after the last.
"""

from dataclasses import dataclass
from pathlib import Path

from trials.records.codec import read_record, to_json
from trials.records.faults import why_no_file
from trials.records.record import shown
from trials.storage.atomic import write_text

RECORD = "phantoms.json"
# Case numbers have five digits.
LARGEST = 100_000
DAMAGED = "delete this folder if nothing but phantoms lies in it, and it is made again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The phantoms of a folder: patients 0 to num_cases - 1 of a seed. Until complete, some of them
    may be missing.
    """

    num_cases: int
    seed: int
    version: int
    complete: bool = True


def read_written(root: Path) -> Written | None:
    """What phantoms.json says; None where there is none. Raises ValueError where it is damaged."""
    path = root / RECORD
    if why_no_file(path) is not None:
        return None
    written = read_record(Written, path, DAMAGED)
    if not 0 <= written.num_cases <= LARGEST:
        raise ValueError(
            f"{path}: num_cases must lie in 0..{LARGEST}; got {shown(written.num_cases)}; {DAMAGED}"
        )
    return written


def write_written(root: Path, written: Written) -> None:
    """Write phantoms.json."""
    write_text(root / RECORD, to_json(written) + "\n")
