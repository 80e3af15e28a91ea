"""A sound case and what breaks it: its files, bytes of its header, and how a fault must be told."""

import gzip
from pathlib import Path

import numpy as np

from trials.data.datasets import find_dataset
from trials.data.door import check_dataset, without_bad_cases
from trials.data.faults import BAD_CASE, WARNING, Fault

VICTIM = "case_00001"
# Byte positions in the header, NIfTI-1 standard.
DIM, DATATYPE, PIXDIM, OFFSET, FORM_CODES, SFORM, MAGIC = 40, 70, 76, 108, 252, 280, 344


def image(root: Path) -> Path:
    return root / VICTIM / "imaging.nii.gz"


def labels(root: Path) -> Path:
    return root / VICTIM / "segmentation.nii.gz"


def altered(path: Path, at: int, values: np.ndarray) -> None:
    """Overwrite bytes of what a .nii.gz file holds."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[at : at + values.nbytes] = values.tobytes()
    path.write_bytes(gzip.compress(content, 1, mtime=0))


def found(root: Path, level: str) -> list[Fault]:
    return [fault for fault in check_dataset(find_dataset("phantoms", root), workers=1) if fault.level == level]


def assert_skippable(root: Path, file: Path, *words: str) -> None:
    """The fault is told with case, file, reason and way out, and --skip-bad would leave out its case and no other."""
    faults = found(root, BAD_CASE)

    assert {(fault.case, fault.file) for fault in faults} == {(VICTIM, str(file))}
    assert all(fault.fix and fault.code for fault in faults)
    for word in words:
        assert word in faults[0].message
    sound = without_bad_cases(find_dataset("phantoms", root), root.parent / "cache", workers=1)
    assert [case.case for case in sound.cases] == ["case_00000", "case_00002"]


def assert_warned(root: Path, file: Path, code: str, *words: str) -> None:
    faults = [fault for fault in found(root, WARNING) if fault.code == code]

    assert [(fault.case, fault.file) for fault in faults] == [(VICTIM, str(file))]
    for word in words:
        assert word in faults[0].message
    assert not found(root, BAD_CASE)
